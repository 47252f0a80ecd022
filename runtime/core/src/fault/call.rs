//! Why a call has no value.

use std::{error::Error, fmt};

use highwater_protocol::{Failure, FailureKind, Payload, TimeoutKind};

use super::{Cancelled, Fault, to_failure};

/// Why a call of an activity, a step or a child workflow has no value.
///
/// ```
/// # extern crate highwater_core as highwater;
/// # use highwater::{CallError, Ctx, Exit};
/// # use highwater_macros::activity;
/// # #[activity] async fn charge(cents: u64) -> Result<u64, String> { Ok(cents) }
/// # async fn example(ctx: Ctx) -> Result<u64, Exit> {
/// match ctx.run(charge, 500).await {
///     Ok(receipt) => Ok(receipt),
///     Err(CallError::TimedOut(..)) => Ok(0),
///     // The activity's own error, of its own type; whether it was the first attempt or the last of many.
///     Err(other) => match other.into_error() {
///         Ok(declined) => Err(Exit::Error(format!("no money: {declined}"))),
///         Err(other) => Err(other.into()),
///     },
/// }
/// # }
/// ```
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub enum CallError<E> {
    /// It returned this error: one after which there is no further attempt, or there was one attempt only.
    Failed(E),
    /// All attempts that its retry policy allows have failed.
    Exhausted {
        /// How many there were; more than one.
        attempts: u32,
        /// How the last one ended.
        last: Box<CallError<E>>,
    },
    /// A timeout passed; the failure tells more.
    TimedOut(TimeoutKind, Failure),
    /// It was cancelled, or the run was asked to cancel.
    Cancelled,
    /// The child workflow was terminated.
    Terminated(Failure),
    /// The child workflow was not started, as its id is in use.
    AlreadyExists(Failure),
    /// It panicked, its payload does not fit the types, or it is too large; the failure tells more.
    Other(Failure),
}

impl<E: Fault> CallError<E> {
    /// What a recorded failure is for the caller, of something that was tried once.
    pub fn from_failure(failure: Failure) -> Self {
        match failure.kind {
            FailureKind::Application { .. } => match failure.details.as_ref().map(Payload::decode::<E>) {
                Some(Ok(error)) => Self::Failed(error),
                _ => Self::Other(failure),
            },
            FailureKind::Timeout(kind) => Self::TimedOut(kind, failure),
            FailureKind::Cancelled => Self::Cancelled,
            FailureKind::Terminated => Self::Terminated(failure),
            FailureKind::AlreadyExists => Self::AlreadyExists(failure),
            _ => Self::Other(failure),
        }
    }

    /// What the recorded failure of this attempt, the last, is for the caller.
    pub fn from_attempts(attempts: u32, failure: Failure) -> Self {
        // After a failure that another attempt might have mended there was none, although there had been others: the
        // policy is used up.
        let exhausted = attempts > 1 && failure.is_retryable();
        let last = Self::from_failure(failure);
        if exhausted { Self::Exhausted { attempts, last: Box::new(last) } } else { last }
    }

    /// As a failure that can be recorded. Message, kind, typed error and causes are those of the call.
    pub fn into_failure(self) -> Failure {
        match self {
            Self::Failed(error) => to_failure(&error, false),
            Self::Exhausted { attempts, last } => {
                let last = last.into_failure();
                Failure { message: format!("all {attempts} attempts failed; the last: {}", last.message), ..last }
            }
            Self::TimedOut(_, failure)
            | Self::Terminated(failure)
            | Self::AlreadyExists(failure)
            | Self::Other(failure) => failure,
            Self::Cancelled => Failure::new(FailureKind::Cancelled, Cancelled.to_string()),
        }
    }
}

impl<E> CallError<E> {
    /// Its own error, if it returned one; that of the last attempt, if there were several.
    pub fn error(&self) -> Option<&E> {
        match self.last() {
            Self::Failed(error) => Some(error),
            _ => None,
        }
    }

    /// Its own error, if it returned one; otherwise this error again.
    pub fn into_error(self) -> Result<E, Self> {
        match self {
            Self::Failed(error) => Ok(error),
            Self::Exhausted { attempts, last } => {
                last.into_error().map_err(|last| Self::Exhausted { attempts, last: Box::new(last) })
            }
            other => Err(other),
        }
    }

    /// What is on record of a call that ended in another way than with an error of its own: the message, which for a
    /// panic tells the place, and what caused it. Of several attempts that of the last.
    pub fn failure(&self) -> Option<&Failure> {
        match self.last() {
            Self::TimedOut(_, failure)
            | Self::Terminated(failure)
            | Self::AlreadyExists(failure)
            | Self::Other(failure) => Some(failure),
            Self::Failed(_) | Self::Exhausted { .. } | Self::Cancelled => None,
        }
    }

    fn last(&self) -> &Self {
        match self {
            Self::Exhausted { last, .. } => last.last(),
            other => other,
        }
    }
}

impl<E: fmt::Display> fmt::Display for CallError<E> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Failed(error) => error.fmt(f),
            Self::Exhausted { attempts, last } => write!(f, "all {attempts} attempts failed; the last: {last}"),
            Self::TimedOut(_, failure)
            | Self::Terminated(failure)
            | Self::AlreadyExists(failure)
            | Self::Other(failure) => failure.fmt(f),
            Self::Cancelled => Cancelled.fmt(f),
        }
    }
}

impl<E: fmt::Display + fmt::Debug> Error for CallError<E> {}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Clone, Debug, PartialEq, serde::Serialize, serde::Deserialize, thiserror::Error)]
    enum Charge {
        #[error("declined with code {0}")]
        Declined(u8),
    }

    #[test]
    fn an_error_of_another_type_is_not_lost() {
        let failure = to_failure(&"text".to_owned(), false);
        assert!(matches!(CallError::<Charge>::from_failure(failure), CallError::Other(f) if f.message == "text"));
    }

    #[test]
    fn every_end_is_a_variant_of_its_own() {
        let of = |kind| CallError::<Charge>::from_failure(Failure::new(kind, "x"));
        assert!(matches!(
            of(FailureKind::Timeout(TimeoutKind::Heartbeat)),
            CallError::TimedOut(TimeoutKind::Heartbeat, _)
        ));
        assert!(matches!(of(FailureKind::Cancelled), CallError::Cancelled));
        assert!(matches!(of(FailureKind::Terminated), CallError::Terminated(_)));
        assert!(matches!(of(FailureKind::AlreadyExists), CallError::AlreadyExists(_)));
        assert!(matches!(of(FailureKind::Panic), CallError::Other(_)));
    }

    #[test]
    fn attempts_are_exhausted_when_another_one_might_have_helped() {
        let declined = |non_retryable| to_failure(&Charge::Declined(5), non_retryable);
        let failed = CallError::Failed(Charge::Declined(5));
        assert_eq!(CallError::from_attempts(1, declined(false)), failed);
        assert_eq!(CallError::from_attempts(3, declined(true)), failed);
        let exhausted = CallError::from_attempts(3, declined(false));
        assert_eq!(exhausted, CallError::Exhausted { attempts: 3, last: Box::new(failed) });
        assert_eq!(exhausted.to_string(), "all 3 attempts failed; the last: declined with code 5");
        assert_eq!(exhausted.error(), Some(&Charge::Declined(5)));
        assert_eq!(exhausted.clone().into_failure().details, declined(false).details);
        assert_eq!(exhausted.into_error(), Ok(Charge::Declined(5)));
    }

    #[test]
    fn causes_and_the_place_of_a_panic_are_kept() {
        let panic =
            Failure::new(FailureKind::Panic, "bang (at shop.rs:3:5)").caused_by(Failure::application("no money"));
        let error = CallError::<Charge>::from_attempts(2, panic.clone());
        assert_eq!(error.failure(), Some(&panic));
        assert_eq!(
            error.to_string(),
            "all 2 attempts failed; the last: panicked: bang (at shop.rs:3:5); caused by: no money"
        );
        assert_eq!(error.into_failure().cause, panic.cause);
    }
}
