//! The typed handles that `#[workflow]` makes, over a client's own.

use highwater_broker::BoxFuture;
use highwater_core::{
    definition::{QueryPort, SignalPort, UpdatePort},
    fault::Fault,
};
use highwater_protocol::{Payload, payload};
use serde::{Serialize, de::DeserializeOwned};

use crate::{Delivered, QueryError, SignalError, Typed, Update, WorkflowHandle, handle::Target};

impl Target {
    fn into_signal(
        self,
        name: &'static str,
        value: Result<Payload, payload::Error>,
    ) -> BoxFuture<'static, Result<Delivered, SignalError>> {
        Box::pin(async move { self.signal(name.to_owned(), value).await })
    }
}

impl<W: 'static> SignalPort<W> for WorkflowHandle<W> {
    /// As [`WorkflowHandle::signal`]; nothing is sent before it is awaited.
    type Sent = BoxFuture<'static, Result<Delivered, SignalError>>;

    fn send_signal<A: Serialize + ?Sized>(&self, name: &'static str, argument: &A) -> Self::Sent {
        self.target().clone().into_signal(name, Payload::encode(argument))
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
        let (target, argument) = (self.target().clone(), Payload::encode(argument));
        Box::pin(async move {
            let answer = target.query(name.to_owned(), argument).await?;
            target.read_answer(&answer)
        })
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
