//! Errors as workflow code sees them, and how they become recorded failures and back.

mod call;

use std::{error::Error, fmt};

use highwater_protocol::{Failure, FailureKind, Payload};
use serde::{Serialize, de::DeserializeOwned};

use crate::run::NextRun;

pub use call::CallError;

/// An error type of the user's that can be recorded and read back.
///
/// Implemented for everything that can be shown and serialised: an enum with `thiserror` and `serde` derives, or a
/// plain `String`.
#[diagnostic::on_unimplemented(
    message = "`{Self}` cannot be recorded as an error",
    label = "needs `Serialize`, `Deserialize` and `Display`",
    note = "derive `serde::Serialize` and `serde::Deserialize` for it and implement `Display`, for example with `thiserror`; or use `String`"
)]
pub trait Fault: fmt::Display + Serialize + DeserializeOwned + 'static {}

impl<E: fmt::Display + Serialize + DeserializeOwned + 'static> Fault for E {}

/// A value of the user's that can be recorded and read back.
///
/// Implemented for everything that can be serialised and owns its data.
#[diagnostic::on_unimplemented(
    message = "`{Self}` cannot be recorded",
    label = "what is returned here needs `Serialize` and `Deserialize`",
    note = "derive `serde::Serialize` and `serde::Deserialize` for it, or return what you need of it, such as an id"
)]
pub trait Recordable: Serialize + DeserializeOwned + 'static {}

impl<T: Serialize + DeserializeOwned + 'static> Recordable for T {}

/// Records an error; `non_retryable` says that no further attempt may follow.
pub fn to_failure<E: Fault>(error: &E, non_retryable: bool) -> Failure {
    let mut failure = Failure::new(FailureKind::Application { non_retryable }, error.to_string());
    failure.details = Payload::encode(error).ok();
    failure
}

/// The activity was asked to cancel, or the run was.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Cancelled;

impl fmt::Display for Cancelled {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("cancelled")
    }
}

impl Error for Cancelled {}

/// The time of a [`Ctx::timeout`](crate::Ctx::timeout) passed before the operation ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Elapsed;

impl fmt::Display for Elapsed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("the time for it passed")
    }
}

impl Error for Elapsed {}

/// How a workflow ends other than with a value. `?` makes it from the workflow's own error, from a [`CallError`] and
/// from [`Cancelled`].
#[derive(Clone, Debug)]
#[non_exhaustive]
pub enum Exit<E = String> {
    /// The run fails with this error.
    Error(E),
    /// The run fails, because a call failed.
    Call(Failure),
    /// The run ends as cancelled.
    Cancelled,
    /// The run ends and another one follows; made by [`Ctx::continue_as_new`](crate::Ctx::continue_as_new).
    ContinueAsNew(Box<NextRun>),
}

impl<E: Fault> From<E> for Exit<E> {
    fn from(error: E) -> Self {
        Self::Error(error)
    }
}

impl<E, A: Fault> From<CallError<A>> for Exit<E> {
    fn from(error: CallError<A>) -> Self {
        match error {
            CallError::Cancelled => Self::Cancelled,
            other => Self::Call(other.into_failure()),
        }
    }
}

impl<E> Exit<E> {
    /// For calls whose error is the workflow's own: `ctx.run(Shop::charge, order).await.map_err(Exit::own)?` fails the
    /// run with that very error, as if the workflow had returned it. A plain `?` notes that a call failed.
    pub fn own(error: CallError<E>) -> Self
    where
        E: Fault,
    {
        match error.into_error() {
            Ok(error) => Self::Error(error),
            Err(other) => other.into(),
        }
    }
}

impl<E> From<Elapsed> for Exit<E> {
    fn from(elapsed: Elapsed) -> Self {
        Self::Call(Failure::application(elapsed.to_string()))
    }
}

impl<E> From<Cancelled> for Exit<E> {
    fn from(_: Cancelled) -> Self {
        Self::Cancelled
    }
}

impl<E: fmt::Display> fmt::Display for Exit<E> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Error(error) => error.fmt(f),
            Self::Call(failure) => failure.fmt(f),
            Self::Cancelled => Cancelled.fmt(f),
            Self::ContinueAsNew(_) => f.write_str("continues as a new run"),
        }
    }
}

#[cfg(test)]
mod tests {
    use highwater_protocol::TimeoutKind;

    use super::*;

    #[derive(Clone, Debug, PartialEq, serde::Serialize, serde::Deserialize, thiserror::Error)]
    enum Charge {
        #[error("declined with code {0}")]
        Declined(u8),
    }

    #[test]
    fn a_typed_error_comes_back_as_itself() {
        let failure = to_failure(&Charge::Declined(5), true);
        assert_eq!(failure.message, "declined with code 5");
        assert!(!failure.is_retryable());
        assert_eq!(CallError::<Charge>::from_failure(failure), CallError::Failed(Charge::Declined(5)));
    }

    #[test]
    fn the_question_mark_works_for_every_error() {
        fn body(which: u8) -> Result<(), Exit<Charge>> {
            match which {
                0 => Err(Charge::Declined(1))?,
                1 => Err(CallError::<String>::Failed("x".into()))?,
                2 => Err(Cancelled)?,
                _ => {}
            }
            Ok(())
        }
        assert!(matches!(body(0), Err(Exit::Error(Charge::Declined(1)))));
        assert!(matches!(body(1), Err(Exit::Call(_))));
        assert!(matches!(body(2), Err(Exit::Cancelled)));
    }

    #[test]
    fn an_own_error_stays_one_however_many_attempts_it_took() {
        let failed = CallError::Failed(Charge::Declined(1));
        let exhausted = CallError::Exhausted { attempts: 3, last: Box::new(failed.clone()) };
        for error in [failed, exhausted] {
            assert!(matches!(Exit::own(error), Exit::Error(Charge::Declined(1))));
        }
        let late = CallError::TimedOut(TimeoutKind::StartToClose, Failure::timeout(TimeoutKind::StartToClose, "late"));
        assert!(matches!(Exit::<Charge>::own(late), Exit::Call(failure) if failure.message == "late"));
        assert!(matches!(Exit::<Charge>::own(CallError::Cancelled), Exit::Cancelled));
    }
}
