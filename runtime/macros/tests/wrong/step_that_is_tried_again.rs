extern crate highwater_core as highwater;

use highwater::{Ctx, Exit};
use highwater_macros::workflow;

struct Connection;

#[workflow]
async fn has_its_connection_once(ctx: Ctx) -> Result<(), Exit> {
    let connection = Connection;
    let send = async move |_| {
        let _used = &connection;
        Ok::<_, String>(())
    };
    ctx.step("send", send).retry(Default::default()).await?;
    Ok(())
}

fn main() {}
