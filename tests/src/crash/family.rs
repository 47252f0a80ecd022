//! A run that needs others: a child that does work, and somebody who updates it.

use std::time::Duration;

use highwater::prelude::*;

use super::workflows::{Job, Shop};

/// Ends when its child has, and when it has been helped.
#[derive(Debug, Default)]
pub struct Family {
    helped: bool,
}

fn job(name: String) -> Job {
    Job { name, takes: Duration::ZERO }
}

/// Does the work of its name.
#[workflow]
pub async fn helper(ctx: Ctx, name: String) -> Result<u64, Exit> {
    Ok(ctx.run(Shop::work, job(name)).await?)
}

#[workflow]
impl Family {
    /// Gives what its child does.
    #[run]
    pub async fn run(ctx: Ctx<Self>, name: String) -> Result<u64, Exit> {
        let done = ctx.child(helper, name.clone()).id(&format!("child of {name}")).await?;
        ctx.wait_until(|family| family.helped).await?;
        Ok(done)
    }

    /// Does the work of a name.
    #[update]
    pub async fn help(ctx: Ctx<Self>, name: String) -> Result<u64, Exit> {
        let done = ctx.run(Shop::work, job(name)).await?;
        ctx.update(|family| family.helped = true);
        Ok(done)
    }
}
