//! What the test kit promises.

mod authoring;
mod failing;
mod mocks;
mod replays;
mod time;
mod workers;

use std::{panic::AssertUnwindSafe, time::Duration};

use highwater::prelude::*;

/// Days of virtual time.
fn days(days: u64) -> Duration {
    Duration::from_hours(24 * days)
}

/// Runs a test in a thread and an async runtime of its own, and returns what it panics with.
fn panic_of<F: Future<Output = ()>>(test: impl FnOnce() -> F + Send + 'static) -> String {
    let thread = std::thread::spawn(move || {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        let panicked = std::panic::catch_unwind(AssertUnwindSafe(|| runtime.block_on(test())));
        let panic = panicked.expect_err("the test passes");
        panic.downcast_ref::<String>().cloned().or_else(|| panic.downcast_ref::<&str>().map(|text| (*text).to_owned()))
    });
    thread.join().unwrap().expect("a panic with a text")
}

/// Activities with no fake of their own: a test that meets them has failed.
struct Shop;

#[activities]
impl Shop {
    #[activity(start_to_close = "10s", retry(maximum_attempts = 4))]
    async fn charge(&self, cents: u64) -> Result<String, String> {
        panic!("charged {cents} cents for real")
    }

    #[activity(start_to_close = "10s")]
    async fn greet(&self, name: String) -> Result<String, String> {
        Ok(format!("Hello, {name}!"))
    }
}

/// Waits, and then charges.
#[workflow]
async fn order(ctx: Ctx, cents: u64) -> Result<String, Exit> {
    ctx.sleep(days(5)).await?;
    Ok(ctx.run(Shop::charge, cents).await?)
}

/// Waits for a signal.
#[workflow]
async fn approval(ctx: Ctx) -> Result<String, Exit> {
    let mut signals = ctx.signals::<String>("approve");
    Ok(signals.recv().await?)
}
