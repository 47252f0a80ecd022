//! The bridge from async callers to blocking work.

/// Runs `work` on the runtime's threads for blocking work.
pub(crate) async fn blocking<T: Send + 'static>(work: impl FnOnce() -> T + Send + 'static) -> T {
    match tokio::task::spawn_blocking(work).await {
        Ok(value) => value,
        Err(error) if error.is_panic() => std::panic::resume_unwind(error.into_panic()),
        // Only a runtime that shuts down cancels, and it polls nobody after.
        Err(_) => std::future::pending().await,
    }
}
