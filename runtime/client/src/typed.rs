//! What a run returns, typed or as it is.

use std::marker::PhantomData;

use highwater_core::{CallError, definition::Workflow, fault::Fault};
use highwater_protocol::{Failure, Payload, payload};
use serde::de::DeserializeOwned;

/// What a workflow's result and error are for the caller: Rust values for a [`Workflow`] type, the recorded data for
/// [`Untyped`].
pub trait Returns: 'static {
    /// The result.
    type Ok;
    /// The workflow's own error.
    type Err;

    /// Reads a result.
    fn read_ok(result: &Payload) -> Result<Self::Ok, payload::Error>;

    /// Reads the failure of a run: its own error, or the failure when it is another one.
    fn read_err(failure: Failure) -> Result<Self::Err, Failure>;
}

impl<W: Workflow> Returns for W {
    type Ok = W::Ok;
    type Err = W::Err;

    fn read_ok(result: &Payload) -> Result<Self::Ok, payload::Error> {
        result.decode()
    }

    fn read_err(failure: Failure) -> Result<Self::Err, Failure> {
        own_error(failure)
    }
}

/// Something that returns a `T` or fails with an `E`.
#[derive(Clone, Copy, Debug)]
pub struct Typed<T, E>(PhantomData<fn() -> (T, E)>);

impl<T: DeserializeOwned + 'static, E: Fault> Returns for Typed<T, E> {
    type Ok = T;
    type Err = E;

    fn read_ok(result: &Payload) -> Result<T, payload::Error> {
        result.decode()
    }

    fn read_err(failure: Failure) -> Result<E, Failure> {
        own_error(failure)
    }
}

fn own_error<E: Fault>(failure: Failure) -> Result<E, Failure> {
    match CallError::from_failure(failure.clone()) {
        CallError::Failed(error) => Ok(error),
        _ => Err(failure),
    }
}

/// A workflow that is known by the name of its type only.
#[derive(Clone, Copy, Debug)]
pub enum Untyped {}

impl Returns for Untyped {
    type Ok = Payload;
    type Err = Failure;

    fn read_ok(result: &Payload) -> Result<Payload, payload::Error> {
        Ok(result.clone())
    }

    fn read_err(failure: Failure) -> Result<Failure, Failure> {
        Ok(failure)
    }
}
