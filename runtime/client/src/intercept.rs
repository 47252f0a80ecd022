//! Interceptors of a client: code that stands around what it asks of workflows.
//!
//! A client passes everything that carries a payload through its interceptors: starts, signals, queries and updates on
//! their way out, results on their way in.

use std::{convert::Infallible, fmt, sync::Arc};

pub use futures_util::future::BoxFuture;
use highwater_protocol::{
    Failure, Payload, Payloads, QueueName, RunId, TypeName, UpdateId, WorkflowId, request::StartRequest,
};

use crate::{
    client::Client,
    query::QueryError,
    request::Delivered,
    signal::SignalError,
    start::{Begun, StartError},
    update::{Accepted, UpdateError},
};

/// Stands around what a client asks of workflows: see [`Client::intercepted`].
///
/// Each of the first four methods gets what is about to be asked, and the rest of the way as `next`. It may change what
/// is asked, add context headers, look at what comes back, ask again, or not ask at all. Of several interceptors, the
/// one that was added first is the outermost.
///
/// ```
/// use highwater_client::{
///     StartError,
///     intercept::{BoxFuture, ClientInterceptor, Next, StartCall, Started},
/// };
/// use highwater_protocol::Payload;
///
/// /// Tells every run, and so its activities and children, for whom it was started.
/// struct OnBehalfOf(String);
///
/// impl ClientInterceptor for OnBehalfOf {
///     fn start<'a>(
///         &'a self,
///         mut call: StartCall,
///         next: Next<'a, StartCall>,
///     ) -> BoxFuture<'a, Result<Started, StartError>> {
///         call.request.headers.insert("on-behalf-of", Payload::encode(&self.0).expect("text encodes"));
///         next.run(call)
///     }
/// }
/// ```
pub trait ClientInterceptor: Send + Sync + 'static {
    /// A run is about to be started.
    fn start<'a>(&'a self, call: StartCall, next: Next<'a, StartCall>) -> BoxFuture<'a, Result<Started, StartError>> {
        next.run(call)
    }

    /// A signal is about to be sent.
    fn signal<'a>(
        &'a self,
        call: SignalCall,
        next: Next<'a, SignalCall>,
    ) -> BoxFuture<'a, Result<Delivered, SignalError>> {
        next.run(call)
    }

    /// A query is about to be asked. The answer is still encoded.
    fn query<'a>(&'a self, call: QueryCall, next: Next<'a, QueryCall>) -> BoxFuture<'a, Result<Payload, QueryError>> {
        next.run(call)
    }

    /// An update is about to be sent; what comes back is that a run has accepted it.
    fn update<'a>(
        &'a self,
        call: UpdateCall,
        next: Next<'a, UpdateCall>,
    ) -> BoxFuture<'a, Result<Accepted, UpdateError<Infallible>>> {
        next.run(call)
    }

    /// Somebody hears what came of a run or of an update. It may be heard more than once, and by other clients.
    fn outcome(&self, of: Asked<'_>, outcome: &mut Result<Payload, Failure>) {
        let _ = (of, outcome);
    }
}

/// Something that a client can ask: what an interceptor gets.
pub trait Call: sealed::Sealed + Send + Sized + 'static {
    /// What comes back.
    type Output: Send;

    #[doc(hidden)]
    fn through<'a>(self, interceptor: &'a dyn ClientInterceptor, next: Next<'a, Self>) -> BoxFuture<'a, Self::Output>;
}

mod sealed {
    pub trait Sealed {}
}

macro_rules! call {
    ($call:ident, $method:ident, $output:ty) => {
        impl sealed::Sealed for $call {}

        impl Call for $call {
            type Output = $output;

            fn through<'a>(
                self,
                interceptor: &'a dyn ClientInterceptor,
                next: Next<'a, Self>,
            ) -> BoxFuture<'a, Self::Output> {
                interceptor.$method(self, next)
            }
        }
    };
}

call!(StartCall, start, Result<Started, StartError>);
call!(SignalCall, signal, Result<Delivered, SignalError>);
call!(QueryCall, query, Result<Payload, QueryError>);
call!(UpdateCall, update, Result<Accepted, UpdateError<Infallible>>);

/// What a call is that nobody intercepts.
type End<'a, C> = dyn Fn(C) -> BoxFuture<'a, <C as Call>::Output> + Send + Sync + 'a;

/// The rest of the way of a call.
pub struct Next<'a, C: Call> {
    rest: &'a [Arc<dyn ClientInterceptor>],
    end: &'a End<'a, C>,
}

impl<C: Call> Clone for Next<'_, C> {
    fn clone(&self) -> Self {
        *self
    }
}

impl<C: Call> Copy for Next<'_, C> {}

impl<C: Call> fmt::Debug for Next<'_, C> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} more interceptors and the call", self.rest.len())
    }
}

impl<'a, C: Call> Next<'a, C> {
    /// Goes on. Called again it asks again.
    pub fn run(self, call: C) -> BoxFuture<'a, C::Output> {
        match self.rest.split_first() {
            Some((first, rest)) => call.through(&**first, Next { rest, end: self.end }),
            None => (self.end)(call),
        }
    }
}

/// A start.
#[derive(Clone, Debug)]
pub struct StartCall {
    /// The id that the run is to have.
    pub workflow_id: WorkflowId,
    /// The queue whose workers run it.
    pub queue: QueueName,
    /// What is asked for: type, input, headers, and all else that a start can be told.
    pub request: StartRequest,
    /// The id that was made for this start, when the caller named none.
    pub(crate) generated: Option<WorkflowId>,
}

/// What a start led to: a run that it began, or one that was there.
#[derive(Debug)]
pub struct Started {
    pub(crate) workflow_id: WorkflowId,
    pub(crate) begun: Begun,
}

impl Started {
    /// The workflow id.
    pub fn workflow_id(&self) -> &WorkflowId {
        &self.workflow_id
    }

    /// The run.
    pub fn run_id(&self) -> Option<RunId> {
        self.begun.addressed.run()
    }
}

/// A signal.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct SignalCall {
    /// Whom it is for. To change this changes what is told, not whom it reaches.
    pub workflow_id: WorkflowId,
    /// The signal's name.
    pub name: TypeName,
    /// What it carries.
    pub input: Payload,
    /// Context that goes with it; what is not JSON is left out.
    pub headers: Payloads,
}

/// A query.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct QueryCall {
    /// Whom it is for. To change this changes what is told, not whom it reaches.
    pub workflow_id: WorkflowId,
    /// The query's name.
    pub name: TypeName,
    /// Its argument.
    pub argument: Payload,
}

/// An update.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct UpdateCall {
    /// Whom it is for. To change this changes what is told, not whom it reaches.
    pub workflow_id: WorkflowId,
    /// What the update is called: sent again with this id, it is the same.
    pub update_id: UpdateId,
    /// The name of its handler.
    pub name: TypeName,
    /// What it carries.
    pub input: Payload,
    /// Context that goes with it; what is not JSON is left out.
    pub headers: Payloads,
}

/// What has an outcome.
#[derive(Clone, Copy, Debug)]
#[non_exhaustive]
pub enum Asked<'a> {
    /// A run.
    Run {
        /// The workflow id.
        workflow_id: &'a WorkflowId,
    },
    /// An update.
    Update {
        /// The workflow id.
        workflow_id: &'a WorkflowId,
        /// The update.
        update_id: &'a UpdateId,
    },
}

/// The interceptors of a client.
#[derive(Clone, Default)]
pub(crate) struct Interceptors(Arc<[Arc<dyn ClientInterceptor>]>);

impl fmt::Debug for Interceptors {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} interceptors", self.0.len())
    }
}

impl Interceptors {
    pub(crate) fn with(&self, interceptor: Arc<dyn ClientInterceptor>) -> Self {
        Self(self.0.iter().cloned().chain([interceptor]).collect())
    }
}

impl Client {
    /// Asks something, through the interceptors; `end` asks it.
    pub(crate) fn ask<'a, C: Call>(&'a self, call: C, end: &'a End<'a, C>) -> BoxFuture<'a, C::Output> {
        Next { rest: &self.interceptors().0, end }.run(call)
    }

    /// What came of something, as the caller hears it: the innermost interceptor hears it first.
    pub(crate) fn heard(&self, of: Asked<'_>, mut outcome: Result<Payload, Failure>) -> Result<Payload, Failure> {
        for interceptor in self.interceptors().0.iter().rev() {
            interceptor.outcome(of, &mut outcome);
        }
        outcome
    }
}
