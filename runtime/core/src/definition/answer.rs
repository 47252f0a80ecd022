//! What the handler of an update returns.

use highwater_protocol::{Failure, FailureKind, event::Outcome};
use serde::{Serialize, de::DeserializeOwned};

use crate::{
    activity,
    fault::{Exit, Fault, to_failure},
};

/// What the handler of an update returns: a `Result` whose error is the user's own or an [`Exit`], or a value that is
/// [`Plain`].
#[diagnostic::on_unimplemented(
    message = "an update cannot answer with `{Self}`",
    note = "return a `Result` whose value and error can be serialised"
)]
pub trait Answer {
    /// The value that the sender gets.
    type Ok: DeserializeOwned;
    /// The error that the sender gets.
    type Err: Fault;
    /// As it is recorded.
    fn answer(self) -> Outcome;
}

/// An answer that is no `Result`.
#[derive(Clone, Copy, Debug)]
pub struct Plain<T>(pub T);

impl<T: Serialize + DeserializeOwned> Answer for Plain<T> {
    type Ok = T;
    type Err = String;
    fn answer(self) -> Outcome {
        activity::outcome(Ok::<_, String>(self.0), |_| false)
    }
}

impl<T: Serialize + DeserializeOwned, E: Fault> Answer for Result<T, E> {
    type Ok = T;
    type Err = E;
    fn answer(self) -> Outcome {
        activity::outcome(self, |_| false)
    }
}

impl<T: Serialize + DeserializeOwned, E: Fault> Answer for Result<T, Exit<E>> {
    type Ok = T;
    type Err = E;
    fn answer(self) -> Outcome {
        match self {
            Ok(value) => activity::outcome(Ok::<_, E>(value), |_| false),
            Err(Exit::Error(error)) => Outcome::Failed(to_failure(&error, false)),
            Err(Exit::Call(failure)) => Outcome::Failed(failure),
            Err(Exit::Cancelled) => {
                Outcome::Cancelled(Failure::new(FailureKind::Cancelled, "the run was asked to cancel"))
            }
            Err(Exit::ContinueAsNew(_)) => {
                Outcome::Failed(Failure::application("an update cannot continue its run as a new one: only `run` can"))
            }
        }
    }
}
