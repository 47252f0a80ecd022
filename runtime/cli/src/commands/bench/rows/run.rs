//! Rows whose unit of work is a run, from its start to its result.

use std::{fmt::Debug, future::IntoFuture};

use highwater::client::{Returns, StartError, WorkflowHandle};

use crate::{commands::bench::load::Unit, exit::Error};

/// A run, again and again, each with nothing of the one before.
pub(super) struct Runs<F>(pub(super) F);

impl<F, Fut> Unit for Runs<F>
where
    F: Fn() -> Fut + Send + Sync + 'static,
    Fut: Future<Output = Result<(), Error>> + Send,
{
    type Lane = ();

    async fn open(&self) -> Result<(), Error> {
        Ok(())
    }

    async fn once(&self, _lane: &mut ()) -> Result<(), Error> {
        (self.0)().await
    }
}

/// Starts a run and checks its result.
pub(super) async fn run<W>(
    start: impl IntoFuture<Output = Result<WorkflowHandle<W>, StartError>, IntoFuture: Send> + Send,
    expected: W::Ok,
) -> Result<(), Error>
where
    W: Returns + Send + Sync,
    W::Ok: PartialEq + Debug + Send,
    W::Err: Debug,
{
    match start.await?.result().await {
        Ok(result) if result == expected => Ok(()),
        Ok(other) => Err(Error::failed(format_args!("a run gave {other:?} instead of {expected:?}"))),
        Err(error) => Err(Error::failed(format_args!("a run failed: {error:?}"))),
    }
}
