//! Calls of activities.

use std::{
    future::{Future, IntoFuture},
    marker::PhantomData,
    pin::Pin,
    task::{Context, Poll},
    time::Duration,
};

use futures_util::future::FusedFuture;
use highwater_protocol::{
    Event, Failure, FailureKind, Payload, Payloads, QueueName, RetryPolicy, TypeName,
    event::{ActivityCancellation, ActivityOptions, ActivityScheduled, Outcome},
    payload,
};
use serde::{Serialize, de::DeserializeOwned};

use super::operation::{Operation, Scoped, operation_future};
use crate::{
    definition::ActivityDefaults,
    fault::{CallError, Fault},
    run::{Kind, OnCancel, Resolution, Shared},
};

/// A call of an activity that has not been made yet: await it, or set options first.
#[must_use = "an activity is called when this is awaited"]
pub struct ActivityCall<T, E> {
    at: Scoped,
    call: Result<ActivityScheduled, Failure>,
    types: PhantomData<fn() -> (T, E)>,
}

impl<T, E> std::fmt::Debug for ActivityCall<T, E> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_tuple("ActivityCall").field(&self.call).finish()
    }
}

impl<T: DeserializeOwned, E: Fault> ActivityCall<T, E> {
    pub(super) fn new<I: Serialize>(at: Scoped, defaults: &ActivityDefaults, input: &I) -> Self {
        let call = scheduled(&at.shared, defaults.name, defaults.queue, defaults.options(), input);
        Self { at, call, types: PhantomData }
    }

    pub(super) fn named<I: Serialize + ?Sized>(at: Scoped, name: &str, input: &I) -> Self {
        let call = scheduled(&at.shared, name, None, ActivityOptions::default(), input);
        Self { at, call, types: PhantomData }
    }

    fn set(mut self, change: impl FnOnce(&mut ActivityScheduled)) -> Self {
        if let Ok(call) = &mut self.call {
            change(call);
        }
        self
    }

    /// Sends the task to the workers of another queue. A name that cannot be one makes the call fail.
    pub fn queue(mut self, queue: &str) -> Self {
        match QueueName::new(queue) {
            Ok(queue) => self.set(|call| call.queue = queue),
            Err(error) => {
                self.call = Err(Failure::new(FailureKind::Payload, error.to_string()));
                self
            }
        }
    }

    /// The longest single attempt.
    pub fn start_to_close(self, timeout: Duration) -> Self {
        self.set(|call| call.options.start_to_close = Some(timeout))
    }

    /// The longest wait for a worker to take the task.
    pub fn schedule_to_start(self, timeout: Duration) -> Self {
        self.set(|call| call.options.schedule_to_start = Some(timeout))
    }

    /// The longest time for all attempts and the waits between them.
    pub fn schedule_to_close(self, timeout: Duration) -> Self {
        self.set(|call| call.options.schedule_to_close = Some(timeout))
    }

    /// The longest silence between two heartbeats.
    pub fn heartbeat(self, timeout: Duration) -> Self {
        self.set(|call| call.options.heartbeat = Some(timeout))
    }

    /// How failed attempts follow each other.
    pub fn retry(self, policy: RetryPolicy) -> Self {
        self.set(|call| call.options.retry = policy)
    }

    /// What becomes of the activity when the code drops this call or is asked to cancel; unless set,
    /// [`ActivityCancellation::Try`].
    ///
    /// ```
    /// # extern crate highwater_core as highwater;
    /// # use highwater::{CallError, Ctx, context::ActivityCancellation};
    /// # use highwater_macros::activity;
    /// # #[activity] async fn transfer(cents: u64) -> Result<(), String> { Ok(()) }
    /// # async fn example(ctx: Ctx) -> Result<(), CallError<String>> {
    /// // Should the run be cancelled meanwhile, this tells what became of the transfer, not only that it was asked to stop.
    /// ctx.run(transfer, 500).cancellation(ActivityCancellation::Wait).await?;
    /// # Ok(()) }
    /// ```
    pub fn cancellation(self, cancellation: ActivityCancellation) -> Self {
        self.set(|call| call.options.cancellation = cancellation)
    }
}

fn scheduled<I: Serialize + ?Sized>(
    shared: &Shared,
    name: &str,
    queue: Option<&str>,
    options: ActivityOptions,
    input: &I,
) -> Result<ActivityScheduled, Failure> {
    written(shared, name, queue, options, Payload::encode(input))
}

fn written(
    shared: &Shared,
    name: &str,
    queue: Option<&str>,
    options: ActivityOptions,
    input: Result<Payload, payload::Error>,
) -> Result<ActivityScheduled, Failure> {
    let refused = |text: String| Failure::new(FailureKind::Payload, text);
    let name = shared.name(name).map_err(|e| refused(e.to_string()))?;
    let queue = match queue {
        Some(queue) => QueueName::try_from(queue).map_err(|e| refused(e.to_string()))?,
        None => shared.queue.clone(),
    };
    let input = input.map_err(|e| refused(format!("the input of activity {name}: {e}")))?;
    Ok(ActivityScheduled { op: highwater_protocol::OpId(0), name, queue, input, options, headers: Payloads::default() })
}

impl<T: DeserializeOwned, E: Fault> IntoFuture for ActivityCall<T, E> {
    type Output = Result<T, CallError<E>>;
    type IntoFuture = PendingActivity<T, E>;

    /// Makes the call: here the operation gets its number.
    #[track_caller]
    fn into_future(self) -> PendingActivity<T, E> {
        let name =
            self.call.as_ref().map_or_else(|_| TypeName::new("-").expect("a dash is a name"), |call| call.name.clone());
        let (call, failure) = match self.call {
            Ok(call) => (Some(call), None),
            Err(failure) => (None, Some(failure)),
        };
        let on_cancel = call.as_ref().map_or(OnCancel::Tell, |call| match call.options.cancellation {
            ActivityCancellation::Try => OnCancel::Tell,
            ActivityCancellation::Wait => OnCancel::Wait,
            ActivityCancellation::Abandon => OnCancel::Abandon,
        });
        let operation = self.at.make(Kind::Activity, name, on_cancel, |op| {
            call.map(|call| Event::ActivityScheduled(Box::new(ActivityScheduled { op, ..call })))
        });
        if let Some(failure) = failure {
            // A call that cannot even be written down ends before it begins, the same way at every replay.
            operation.fail(Kind::Activity, failure);
        }
        PendingActivity { operation, types: PhantomData }
    }
}

/// An activity under way. Dropping it cancels the activity as [`ActivityCall::cancellation`] says;
/// [`detach`](Self::detach) lets it go on.
#[must_use = "dropping this cancels the activity; await or detach it"]
pub struct PendingActivity<T, E> {
    operation: Operation,
    types: PhantomData<fn() -> (T, E)>,
}

operation_future!(PendingActivity<T, E>);

impl<T: DeserializeOwned, E: Fault> Future for PendingActivity<T, E> {
    type Output = Result<T, CallError<E>>;
    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        self.operation.poll(cx).map_or(Poll::Pending, |resolution| Poll::Ready(decode(resolution)))
    }
}

impl<T: DeserializeOwned, E: Fault> FusedFuture for PendingActivity<T, E> {
    fn is_terminated(&self) -> bool {
        self.operation.is_done()
    }
}

/// An outcome as the code sees it.
pub(super) fn decode<T: DeserializeOwned, E: Fault>(resolution: Resolution) -> Result<T, CallError<E>> {
    match resolution {
        Resolution::Outcome(_, Outcome::Completed(payload)) => payload.decode().map_err(|error| {
            CallError::Other(Failure::new(FailureKind::Payload, format!("the recorded result does not fit: {error}")))
        }),
        Resolution::Outcome(attempt, Outcome::Failed(failure)) => Err(CallError::from_attempts(attempt, failure)),
        Resolution::Outcome(..) | Resolution::Cancelled | Resolution::Fired | Resolution::Delivered(_) => {
            Err(CallError::Cancelled)
        }
    }
}
