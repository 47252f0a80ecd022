//! What the handler of an update returns: a value, or a `Result`, behind whatever alias.
//!
//! Whether a type is a `Result` cannot be asked by a trait that is implemented for every other type too. It can be
//! asked by a constant: [`Returned<R>`] has an inherent one for a `Result`, which goes before that of the trait
//! [`ReturnsPlain`]. The macro writes `UpdateOutput<{ Returned::<R>::FALLIBLE }>`, and the compiler chooses.

use std::{fmt, marker::PhantomData};

use highwater_protocol::{Failure, FailureKind, Payload, event::Outcome};
use serde::{Deserialize, Deserializer, Serialize, Serializer, de};

use super::Conclude;
use crate::run::Conclusion;

/// A type that somebody returns, to ask whether it is a `Result`.
pub struct Returned<R>(PhantomData<R>);

impl<R> fmt::Debug for Returned<R> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Returned")
    }
}

impl<T, E> Returned<Result<T, E>> {
    /// It is a `Result`.
    pub const FALLIBLE: bool = true;
}

/// What is true of a type that is no `Result`.
pub trait ReturnsPlain {
    /// It is none.
    const FALLIBLE: bool = false;
}

impl<R> ReturnsPlain for Returned<R> {}

/// What an update gives, and how it fails: `FALLIBLE` says whether the type is a `Result`.
pub trait UpdateOutput<const FALLIBLE: bool> {
    /// The value.
    type Ok;
    /// The error.
    type Err;
    /// How the update ended.
    fn outcome(self) -> Outcome;
}

impl<R: Conclude> UpdateOutput<true> for R {
    type Ok = R::Ok;
    type Err = R::Err;
    fn outcome(self) -> Outcome {
        match self.conclude() {
            Conclusion::Completed(payload) => Outcome::Completed(payload),
            Conclusion::Failed(failure) => Outcome::Failed(failure),
            Conclusion::Cancelled(failure) => Outcome::Cancelled(failure),
            Conclusion::ContinueAsNew(_) => Outcome::Failed(Failure::new(
                FailureKind::Stuck,
                "the handler of an update cannot continue the run as a new one; let `run` do so",
            )),
        }
    }
}

impl<T: Serialize> UpdateOutput<false> for T {
    type Ok = T;
    type Err = NoError;
    fn outcome(self) -> Outcome {
        match Payload::encode(&self) {
            Ok(payload) => Outcome::Completed(payload),
            Err(error) => Outcome::Failed(Failure::new(FailureKind::Payload, format!("the update's value: {error}"))),
        }
    }
}

/// The error of something that has none of its own: it has no value.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum NoError {}

impl fmt::Display for NoError {
    fn fmt(&self, _: &mut fmt::Formatter<'_>) -> fmt::Result {
        match *self {}
    }
}

impl std::error::Error for NoError {}

impl Serialize for NoError {
    fn serialize<S: Serializer>(&self, _: S) -> Result<S::Ok, S::Error> {
        match *self {}
    }
}

impl<'de> Deserialize<'de> for NoError {
    fn deserialize<D: Deserializer<'de>>(_: D) -> Result<Self, D::Error> {
        Err(de::Error::custom("nothing of this type can be told"))
    }
}

#[cfg(test)]
mod tests {
    use highwater_protocol::{Payloads, TypeName, event::Attributes};

    use super::*;
    use crate::{fault::Exit, run::NextRun};

    type Aliased = Result<u32, Exit<String>>;

    #[test]
    fn a_result_is_told_from_a_value_behind_an_alias() {
        const OF_ALIAS: bool = Returned::<Aliased>::FALLIBLE;
        const OF_VALUE: bool = Returned::<Option<u32>>::FALLIBLE;
        assert_eq!((OF_ALIAS, OF_VALUE), (true, false));
    }

    #[test]
    fn values_and_errors_become_outcomes() {
        fn of<const FALLIBLE: bool, R: UpdateOutput<FALLIBLE>>(value: R) -> Outcome {
            value.outcome()
        }
        assert_eq!(of::<false, _>(Some(5)), Outcome::Completed(Payload::json("5")));
        assert_eq!(of::<true, Aliased>(Ok(5)), Outcome::Completed(Payload::json("5")));
        let Outcome::Failed(failure) = of::<true, Aliased>(Err(Exit::Error("no".into()))) else { panic!() };
        assert_eq!(failure.message, "no");
        assert!(matches!(of::<true, Aliased>(Err(Exit::Cancelled)), Outcome::Cancelled(_)));
        let next = NextRun {
            workflow_type: TypeName::new("cart").unwrap(),
            input: Payload::null(),
            memo: Payloads::default(),
            attributes: Attributes::default(),
        };
        let again = Exit::ContinueAsNew(Box::new(next));
        assert!(matches!(of::<true, Aliased>(Err(again)), Outcome::Failed(f) if f.message.contains("let `run` do so")));
    }
}
