//! The typed handles that `#[workflow]` makes, over a client's own.

use futures_util::{FutureExt, future::BoxFuture};
use highwater_core::{
    definition::{QueryPort, SignalPort, UpdatePort},
    fault::Fault,
};
use highwater_protocol::Payload;
use serde::{Serialize, de::DeserializeOwned};

use crate::{Delivered, QueryError, SignalError, Typed, Update, WorkflowHandle};

impl<W: 'static> SignalPort<W> for WorkflowHandle<W> {
    /// As [`WorkflowHandle::signal`]; nothing is sent before it is awaited.
    type Sent = BoxFuture<'static, Result<Delivered, SignalError>>;

    fn send_signal<A: Serialize + ?Sized>(&self, name: &'static str, argument: &A) -> Self::Sent {
        let (handle, argument) = (self.clone(), Payload::encode(argument));
        async move { handle.signal_payload(name, argument?).await }.boxed()
    }
}

impl<W: 'static> QueryPort<W> for WorkflowHandle<W> {
    /// As [`WorkflowHandle::query`]; nobody is asked before it is awaited.
    type Asked<R: DeserializeOwned + 'static> = BoxFuture<'static, Result<R, QueryError>>;

    fn ask_query<A: Serialize + ?Sized, R: DeserializeOwned + 'static>(
        &self,
        name: &'static str,
        argument: &A,
    ) -> Self::Asked<R> {
        let (handle, argument) = (self.clone(), Payload::encode(argument));
        let ask = async move {
            let argument = argument.map_err(QueryError::Argument)?;
            let answer = handle.query_payload(name, argument).await?;
            handle.read_answer(&answer)
        };
        ask.boxed()
    }
}

impl<W: 'static> UpdatePort<W> for WorkflowHandle<W> {
    /// As [`WorkflowHandle::update`]: awaited it gives the result, and it can be told more before.
    type Updated<T: DeserializeOwned + 'static, E: Fault> = Update<Typed<T, E>>;

    fn send_update<A: Serialize + ?Sized, T: DeserializeOwned + 'static, E: Fault>(
        &self,
        name: &'static str,
        argument: &A,
    ) -> Self::Updated<T, E> {
        self.update(name, argument)
    }
}
