//! What users and the world do to a namespace: nothing is lost, nothing is wedged, and every error is clear.

mod code;
mod dropped;
mod ids;
mod outage;
mod payloads;
mod signals;
mod starts;
mod unknown_type;

use std::sync::LazyLock;

use highwater::prelude::*;
use highwater_devserver::DevServer;
use highwater_tests::deadline::within;

static SERVER: LazyLock<DevServer> = LazyLock::new(highwater_tests::space::server);

/// The run that must complete on a worker after whatever was done to it.
#[workflow]
pub async fn normal(ctx: Ctx, number: u32) -> Result<u32, Exit> {
    let doubled = ctx.step("double", move |_| async move { Ok::<_, String>(number * 2) }).await?;
    ctx.sleep(std::time::Duration::from_millis(1)).await?;
    Ok(doubled)
}

/// Checks that nothing is wedged.
async fn still_works(highwater: &Highwater) {
    let run = within("a normal run starts", highwater.client().start(normal, 21)).await.expect("it starts");
    assert_eq!(within("a normal run completes", run.result()).await.expect("it completes"), 42);
}
