//! Ways to a workflow whose type is known: what the typed handles that `#[workflow]` makes stand on.
//!
//! For a block `impl Cart` the macro writes a trait `CartHandle` with a method for every handler, named as the user's
//! own, and implements it for everything that is a [`SignalPort`] of `Cart`. What such a method gives is the port's
//! choice: the client sends at once, a workflow records an operation, a start takes the message along.

use serde::{Serialize, de::DeserializeOwned};

use crate::fault::Fault;

/// Takes signals for a workflow of type `W`.
#[diagnostic::on_unimplemented(
    message = "`{Self}` does not lead to a workflow of type `{W}`",
    label = "a handle of a `{W}` was expected",
    note = "a handle has the type of its workflow: `client.handle::<{W}>(\"id\")`, `ctx.workflow_of::<{W}>(\"id\")`, or what a start gives"
)]
pub trait SignalPort<W> {
    /// What comes of a signal, to be awaited.
    type Sent;

    /// Sends a signal.
    fn send_signal<A: Serialize + ?Sized>(&self, name: &'static str, argument: &A) -> Self::Sent;
}

/// Takes queries for a workflow of type `W`.
#[diagnostic::on_unimplemented(
    message = "`{Self}` answers no queries",
    label = "only a client's `WorkflowHandle` takes queries",
    note = "workflows send each other signals only, as an answer would have to be in both histories; have the other one \
            signal back, or ask in an activity that has a client"
)]
pub trait QueryPort<W> {
    /// What comes of a query that is answered with an `R`, to be awaited.
    type Asked<R: DeserializeOwned + 'static>;

    /// Asks.
    fn ask_query<A: Serialize + ?Sized, R: DeserializeOwned + 'static>(
        &self,
        name: &'static str,
        argument: &A,
    ) -> Self::Asked<R>;
}

/// Takes updates for a workflow of type `W`.
#[diagnostic::on_unimplemented(
    message = "`{Self}` takes no updates",
    label = "only a client's `WorkflowHandle` takes updates",
    note = "workflows send each other signals only; have the other one signal back when it is done, or send the update from \
            an activity that has a client"
)]
pub trait UpdatePort<W> {
    /// What comes of an update that gives a `T` or fails with an `E`, to be awaited.
    type Updated<T: DeserializeOwned + 'static, E: Fault>;

    /// Sends an update.
    fn send_update<A: Serialize + ?Sized, T: DeserializeOwned + 'static, E: Fault>(
        &self,
        name: &'static str,
        argument: &A,
    ) -> Self::Updated<T, E>;
}
