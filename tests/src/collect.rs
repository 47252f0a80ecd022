//! A workflow that takes signals one by one, for tests of what becomes of them.

use std::time::Duration;

use highwater::prelude::*;

/// How long the code takes over each signal, so that a test can end a worker in the middle of many.
const EACH: Duration = Duration::from_millis(1);

/// Returns the numbers that it was sent, in order, once it has this many.
#[workflow]
pub async fn collect(ctx: Ctx, count: usize) -> Result<Vec<u32>, Exit> {
    let mut numbers = ctx.signals::<u32>("number");
    let mut taken = Vec::new();
    while taken.len() < count {
        taken.push(numbers.recv().await?);
        std::thread::sleep(EACH);
    }
    Ok(taken)
}
