//! Waiting for what a run returns.
//!
//! The owner sends the outcome of every run as a plain message: to the reply subject of its start, and to the `closed`
//! subject of its id. Plain messages may get lost, so they only make it fast: the history is read as well, at growing
//! intervals, and says the same.

mod error;
mod wait;

use std::{
    fmt,
    future::{Future, IntoFuture},
    pin::Pin,
    time::Duration,
};

use highwater_protocol::Status;

use crate::{
    handle::{Addressed, WorkflowHandle},
    typed::Returns,
};

pub use error::ResultError;

/// A result to be: await it.
#[must_use = "it waits for nothing until it is awaited"]
pub struct ResultOf<W> {
    handle: WorkflowHandle<W>,
    timeout: Option<Duration>,
}

impl<W> WorkflowHandle<W> {
    /// What the run returns, once it has ended. A run that continues as another one is followed to the last of them,
    /// unless the handle is [pinned](Self::pinned_to). Waits for as long as it takes, through restarts of NATS too.
    ///
    /// ```no_run
    /// # use highwater_client::{ResultError, Untyped, WorkflowHandle};
    /// # async fn example(run: WorkflowHandle<Untyped>) -> Result<(), Box<dyn std::error::Error>> {
    /// use std::time::Duration;
    ///
    /// match run.result().timeout(Duration::from_secs(30)).await {
    ///     Ok(value) => println!("{value:?}"),
    ///     Err(ResultError::StillRunning { .. }) => println!("later, then"),
    ///     Err(error) => return Err(error.into()),
    /// }
    /// # Ok(())
    /// # }
    /// ```
    pub fn result(&self) -> ResultOf<W> {
        ResultOf { handle: self.clone(), timeout: None }
    }
}

impl<W> ResultOf<W> {
    /// Waits no longer than this.
    pub fn timeout(mut self, timeout: Duration) -> Self {
        self.timeout = Some(timeout);
        self
    }
}

impl<W: Returns> ResultOf<W> {
    async fn get(self) -> Result<W::Ok, ResultError<W::Err>> {
        let target = self.handle.target();
        let heard = wait::outcome(target, self.timeout).await;
        match heard.map_err(|missed| missed.into_error(target.id()))? {
            (_, Ok(result)) => {
                W::read_ok(&result).map_err(|source| ResultError::Decode { id: target.id().clone(), source })
            }
            (Status::Cancelled, Err(_)) => Err(ResultError::Cancelled),
            (Status::Terminated, Err(failure)) => Err(ResultError::Terminated(failure.message)),
            (Status::TimedOut, Err(_)) => Err(ResultError::TimedOut),
            (_, Err(failure)) => Err(match W::read_err(failure) {
                Ok(error) => ResultError::Failed(error),
                Err(failure) => ResultError::FailedOtherwise(failure),
            }),
        }
    }
}

impl<W: Returns> IntoFuture for ResultOf<W>
where
    W::Ok: 'static,
    W::Err: 'static,
{
    type Output = Result<W::Ok, ResultError<W::Err>>;
    type IntoFuture = Pin<Box<dyn Future<Output = Self::Output> + Send>>;

    fn into_future(self) -> Self::IntoFuture {
        Box::pin(self.get())
    }
}

impl<W> fmt::Debug for ResultOf<W> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ResultOf").field("handle", &self.handle).field("timeout", &self.timeout).finish()
    }
}

/// Whether the runs that the addressed one continues as count as it.
fn follows(addressed: Addressed) -> bool {
    !matches!(addressed, Addressed::Run(_))
}
