//! A worker that runs [`collect()`] until it is killed.

use highwater::Highwater;
use highwater_tests::collect::collect;

#[tokio::main]
async fn main() -> anyhow::Result<()> {
    highwater_tests::space::show_log();
    let highwater = Highwater::connect().await?;
    highwater.worker().workflow(collect).build()?.run().await?;
    Ok(())
}
