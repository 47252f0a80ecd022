extern crate highwater_core as highwater;

use highwater::{Ctx, Exit};
use highwater_macros::{activities, workflow};

pub struct Shop;

#[activities]
impl Shop {
    #[activity]
    pub async fn charge(&self, cents: u32) -> Result<u32, String> {
        Ok(cents)
    }

    pub async fn helper(&self, cents: u32) -> Result<u32, String> {
        Ok(cents)
    }
}

#[workflow]
async fn order(ctx: Ctx) -> Result<(), Exit> {
    let inner = ctx.clone();
    ctx.step("now", async move |_| Ok::<_, String>(inner.now().as_millis())).await?;
    Ok(())
}

fn main() {}
