//! Waiting for conditions, with a deadline that fails the test.

use std::{fmt::Debug, time::Duration};

/// How long a condition may take. Far more than any needs, so that a slow machine fails nothing.
pub const DEADLINE: Duration = Duration::from_mins(1);

/// The pause between two looks at a condition that nothing announces.
const LOOK_EVERY: Duration = Duration::from_millis(20);

/// Awaits something that must come.
pub async fn within<T>(what: &str, future: impl IntoFuture<Output = T>) -> T {
    let Ok(value) = tokio::time::timeout(DEADLINE, future.into_future()).await else {
        panic!("{what}: not within {DEADLINE:?}");
    };
    value
}

/// Looks until `wanted` accepts what `look` sees, and returns that. When it never does, the test fails with the last
/// sight.
pub async fn until<T: Debug, F: Future<Output = T>>(
    what: &str,
    mut look: impl FnMut() -> F,
    mut wanted: impl FnMut(&T) -> bool,
) -> T {
    let deadline = tokio::time::Instant::now() + DEADLINE;
    loop {
        let seen = within(what, look()).await;
        if wanted(&seen) {
            return seen;
        }
        assert!(tokio::time::Instant::now() < deadline, "{what}: not within {DEADLINE:?}; last seen: {seen:#?}");
        tokio::time::sleep(LOOK_EVERY).await;
    }
}
