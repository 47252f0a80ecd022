//! Errors as workflow code sees them, and how they become recorded failures and back.

use std::{error::Error, fmt};

use highwater_protocol::{Failure, FailureKind, Payload, TimeoutKind};
use serde::{Serialize, de::DeserializeOwned};

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

/// Why a call of an activity or a step has no value.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub enum CallError<E> {
    /// It returned this error, at its last attempt.
    Failed(E),
    /// A timeout passed; the failure tells more.
    TimedOut(TimeoutKind, Failure),
    /// It was cancelled, or the run was asked to cancel.
    Cancelled,
    /// It panicked, its payload does not fit the types, or it is too large; the failure tells more.
    Other(Failure),
}

impl<E: Fault> CallError<E> {
    /// What a recorded failure is for the caller.
    pub fn from_failure(failure: Failure) -> Self {
        match failure.kind {
            FailureKind::Application { .. } => match failure.details.as_ref().map(Payload::decode::<E>) {
                Some(Ok(error)) => Self::Failed(error),
                _ => Self::Other(failure),
            },
            FailureKind::Timeout(kind) => Self::TimedOut(kind, failure),
            FailureKind::Cancelled => Self::Cancelled,
            _ => Self::Other(failure),
        }
    }
}

impl<E: fmt::Display> fmt::Display for CallError<E> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Failed(error) => error.fmt(f),
            Self::TimedOut(_, failure) | Self::Other(failure) => failure.fmt(f),
            Self::Cancelled => Cancelled.fmt(f),
        }
    }
}

impl<E: fmt::Display + fmt::Debug> Error for CallError<E> {}

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
    ContinueAsNew(Payload),
}

impl<E: Fault> From<E> for Exit<E> {
    fn from(error: E) -> Self {
        Self::Error(error)
    }
}

impl<E, A: Fault> From<CallError<A>> for Exit<E> {
    fn from(error: CallError<A>) -> Self {
        match error {
            CallError::Failed(error) => Self::Call(to_failure(&error, false)),
            CallError::TimedOut(_, failure) | CallError::Other(failure) => Self::Call(failure),
            CallError::Cancelled => Self::Cancelled,
        }
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
    use super::*;

    #[derive(Debug, PartialEq, serde::Serialize, serde::Deserialize, thiserror::Error)]
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
    fn an_error_of_another_type_is_not_lost() {
        let failure = to_failure(&"text".to_owned(), false);
        assert!(matches!(CallError::<Charge>::from_failure(failure), CallError::Other(f) if f.message == "text"));
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
}
