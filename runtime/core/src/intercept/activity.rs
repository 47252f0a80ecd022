//! Around attempts of activities.

use std::{fmt, sync::Arc};

use highwater_protocol::{Payload, event::Outcome};

use crate::activity::{ActivityContext, BoxFuture};

/// Stands around every attempt of a worker's activities.
///
/// The interceptor that was registered first is the outermost one.
///
/// ```
/// use std::time::Instant;
///
/// use highwater_core::{
///     activity::BoxFuture,
///     intercept::{ActivityAttempt, ActivityInterceptor, NextAttempt},
/// };
/// use highwater_protocol::event::Outcome;
///
/// struct Timed;
///
/// impl ActivityInterceptor for Timed {
///     fn attempt<'a>(&'a self, attempt: ActivityAttempt, next: NextAttempt<'a>) -> BoxFuture<'a, Outcome> {
///         Box::pin(async move {
///             let (name, begun) = (attempt.context.info().name.clone(), Instant::now());
///             let outcome = next.run(attempt).await;
///             tracing::info!(%name, took = ?begun.elapsed(), "an attempt ended");
///             outcome
///         })
///     }
/// }
/// ```
pub trait ActivityInterceptor: Send + Sync + 'static {
    /// Makes an attempt: `next.run(attempt)` goes on to the next interceptor, and in the end to the activity's code.
    /// What comes back may be changed before it is recorded, and nothing need be called at all.
    ///
    /// A timeout or a cancellation that nobody heeds drops the future where it waits. A panic here is a failed attempt.
    fn attempt<'a>(&'a self, attempt: ActivityAttempt, next: NextAttempt<'a>) -> BoxFuture<'a, Outcome>;
}

impl<T: ActivityInterceptor + ?Sized> ActivityInterceptor for Arc<T> {
    fn attempt<'a>(&'a self, attempt: ActivityAttempt, next: NextAttempt<'a>) -> BoxFuture<'a, Outcome> {
        (**self).attempt(attempt, next)
    }
}

/// An attempt that is about to be made.
#[derive(Clone, Debug)]
pub struct ActivityAttempt {
    /// What the activity can know of it: names, ids, headers.
    pub context: ActivityContext,
    /// The input, still encoded.
    pub input: Payload,
}

/// What an attempt that nobody intercepts is.
type Code = dyn Fn(ActivityAttempt) -> BoxFuture<'static, Outcome> + Send + Sync;

/// The rest of the way to an activity's code.
#[derive(Clone, Copy)]
pub struct NextAttempt<'a> {
    rest: &'a [Arc<dyn ActivityInterceptor>],
    code: &'a Code,
}

impl fmt::Debug for NextAttempt<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} more interceptors and the activity", self.rest.len())
    }
}

impl<'a> NextAttempt<'a> {
    /// The whole way, for a worker.
    pub fn new(interceptors: &'a [Arc<dyn ActivityInterceptor>], code: &'a Code) -> Self {
        Self { rest: interceptors, code }
    }

    /// Goes on. Called again it makes the attempt again, within the same timeouts.
    pub fn run(self, attempt: ActivityAttempt) -> BoxFuture<'a, Outcome> {
        match self.rest.split_first() {
            Some((first, rest)) => first.attempt(attempt, NextAttempt { rest, code: self.code }),
            None => (self.code)(attempt),
        }
    }
}
