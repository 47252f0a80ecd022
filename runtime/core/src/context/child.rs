//! Child workflows: the call.

use std::{fmt, future::IntoFuture, marker::PhantomData, time::Duration};

use highwater_protocol::{
    Event, Failure, FailureKind, OpId, Payload, Payloads, QueueName, RetryPolicy, RunId, TypeName, WorkflowId,
    event::{AttributeValue, Attributes, ChildCancellation, ChildOptions, ChildScheduled, ParentClose},
    request::IdReuse,
};
use serde::{Serialize, de::DeserializeOwned};
use uuid::Uuid;

use super::{
    Ctx,
    child_handle::{ChildResult, Hold, StartingChild},
    operation::Scoped,
};
use crate::{
    definition::{Workflow, WorkflowItem},
    fault::Fault,
    run::{Kind, OnCancel},
};

/// What a child workflow returns: known from its type, or what the caller says.
pub trait ChildType: 'static {
    /// The value.
    type Ok: DeserializeOwned;
    /// The error.
    type Err: Fault;
}

impl<W: Workflow> ChildType for W {
    type Ok = W::Ok;
    type Err = W::Err;
}

/// A child workflow that is known by name only, and of which the caller says that it gives a `T` or fails with an `E`.
pub struct Named<T, E>(PhantomData<fn() -> (T, E)>);

impl<T, E> fmt::Debug for Named<T, E> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Named")
    }
}

impl<T: DeserializeOwned + 'static, E: Fault> ChildType for Named<T, E> {
    type Ok = T;
    type Err = E;
}

impl<S: 'static> Ctx<S> {
    /// Starts another workflow as a child of this run: `ctx.child(ship, order).await?` gives what it returns;
    /// [`start`](ChildCall::start) gives a handle as soon as it is under way.
    ///
    /// ```
    /// # extern crate highwater_core as highwater;
    /// # use highwater::{Ctx, Exit};
    /// # use highwater_macros::workflow;
    /// #[workflow]
    /// async fn ship(ctx: Ctx, order: u32) -> Result<String, Exit> {
    ///     Ok(format!("parcel {order}"))
    /// }
    ///
    /// #[workflow]
    /// async fn order(ctx: Ctx, order: u32) -> Result<String, Exit> {
    ///     Ok(ctx.child(ship, order).id(&format!("parcel-{order}")).await?)
    /// }
    /// ```
    pub fn child<P, W: WorkflowItem<P>>(
        &self,
        _workflow: W,
        input: <W::Workflow as Workflow>::Input,
    ) -> ChildCall<W::Workflow> {
        ChildCall::new(self.inner.at.clone(), W::Workflow::NAME, &input)
    }

    /// Starts another workflow by the name of its type alone: one in another language, or one whose code this program
    /// does not have. Nothing checks that `I`, `T` and `E` are what it takes, returns and fails with.
    pub fn child_named<I, T, E>(&self, workflow_type: &str, input: &I) -> ChildCall<Named<T, E>>
    where
        I: Serialize + ?Sized,
        T: DeserializeOwned + 'static,
        E: Fault,
    {
        ChildCall::new(self.inner.at.clone(), workflow_type, input)
    }
}

/// A child workflow that has not been started yet: await it, or set options first.
#[must_use = "a child is started when this is awaited"]
pub struct ChildCall<W> {
    at: Scoped,
    call: Result<Box<ChildScheduled>, Failure>,
    id: Option<WorkflowId>,
    workflow: PhantomData<fn() -> W>,
}

impl<W> fmt::Debug for ChildCall<W> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("ChildCall").field(&self.call).finish()
    }
}

impl<W: ChildType> ChildCall<W> {
    fn new<I: Serialize + ?Sized>(at: Scoped, workflow_type: &str, input: &I) -> Self {
        let call = scheduled(&at, workflow_type, input).map(Box::new);
        Self { at, call, id: None, workflow: PhantomData }
    }

    fn set(mut self, change: impl FnOnce(&mut ChildScheduled)) -> Self {
        if let Ok(call) = &mut self.call {
            change(call);
        }
        self
    }

    fn try_set(mut self, change: impl FnOnce(&mut ChildScheduled) -> Result<(), String>) -> Self {
        if let Ok(call) = &mut self.call
            && let Err(problem) = change(call)
        {
            self.call = Err(Failure::new(FailureKind::Payload, problem));
        }
        self
    }

    /// The child's id; without it one that nothing else has. An id that cannot be one makes the call fail.
    pub fn id(mut self, id: &str) -> Self {
        match WorkflowId::new(id) {
            Ok(id) => self.id = Some(id),
            Err(error) => self.call = Err(Failure::new(FailureKind::Payload, error.to_string())),
        }
        self
    }

    /// The queue whose workers run it; without it that of this run. A name that cannot be one makes the call fail.
    pub fn queue(self, queue: &str) -> Self {
        self.try_set(|call| {
            call.queue = QueueName::new(queue).map_err(|error| error.to_string())?;
            Ok(())
        })
    }

    /// What becomes of the child when this run ends, in whichever way; without it, [`ParentClose::Terminate`].
    pub fn parent_close(self, policy: ParentClose) -> Self {
        self.set(|call| call.options.parent_close = policy)
    }

    /// What becomes of the child when this run is asked to cancel or the code drops the call; without it,
    /// [`ChildCancellation::WaitCompleted`].
    pub fn cancellation(self, cancellation: ChildCancellation) -> Self {
        self.set(|call| call.options.cancellation = cancellation)
    }

    /// The longest that one run of the child may take.
    pub fn run_timeout(self, timeout: Duration) -> Self {
        self.set(|call| call.options.run_timeout = Some(timeout))
    }

    /// The longest that all runs of the child together may take: retries, and those that continue it.
    pub fn execution_timeout(self, timeout: Duration) -> Self {
        self.set(|call| call.options.execution_timeout = Some(timeout))
    }

    /// How a failed run of the child is tried again; without it, it is not.
    pub fn retry(self, policy: RetryPolicy) -> Self {
        self.set(|call| call.options.retry = Some(policy))
    }

    /// Whether the id of a closed run may be used again.
    pub fn id_reuse(self, policy: IdReuse) -> Self {
        self.set(|call| call.options.id_reuse = policy)
    }

    /// How long the child's code waits before it begins.
    pub fn delay(self, delay: Duration) -> Self {
        self.set(|call| call.options.delay = Some(delay))
    }

    /// A note that the child and everybody who describes it can read. A value that cannot be encoded makes the call
    /// fail.
    pub fn memo<V: Serialize + ?Sized>(self, name: &str, value: &V) -> Self {
        self.try_set(|call| {
            let payload = Payload::encode(value).map_err(|error| format!("the memo {name:?}: {error}"))?;
            call.memo.insert(name, payload);
            Ok(())
        })
    }

    /// A search attribute of the child. One that cannot be searched for makes the call fail.
    pub fn attribute(self, name: &str, value: impl Into<AttributeValue>) -> Self {
        self.try_set(|call| {
            call.attributes.insert(name, value);
            call.attributes.check().map_err(|error| error.to_string())
        })
    }

    /// Starts the child; the future gives a handle when it is under way. Dropping the future or the handle cancels the
    /// child, as [`cancellation`](Self::cancellation) says.
    #[track_caller]
    pub fn start(self) -> StartingChild<W> {
        StartingChild::new(self.make())
    }

    /// Makes the operation: here it gets its number, and the child its run id.
    #[track_caller]
    fn make(self) -> Hold {
        let Self { at, call, id, .. } = self;
        let (call, failure) = match call {
            Ok(call) => (Some(call), None),
            Err(failure) => (None, Some(failure)),
        };
        let name =
            call.as_ref().map_or_else(|| TypeName::new("-").expect("a dash is a name"), |c| c.workflow_type.clone());
        let on_cancel = call.as_ref().map_or(OnCancel::Tell, |call| match call.options.cancellation {
            ChildCancellation::WaitCompleted => OnCancel::Wait,
            ChildCancellation::WaitRequested => OnCancel::WaitTold,
            ChildCancellation::Try => OnCancel::TellAndLeave,
            ChildCancellation::Abandon => OnCancel::Abandon,
        });
        let parent = at.shared.run;
        let mut target = None;
        let operation = at.make(Kind::Child, name, on_cancel, |op| {
            let mut call = call?;
            call.op = op;
            call.run = child_run(parent, op);
            call.workflow_id = id.unwrap_or_else(|| own_id(call.run));
            target = Some((call.workflow_id.clone(), call.queue.clone()));
            Some(Event::ChildScheduled(call))
        });
        if let Some(failure) = failure {
            operation.fail(Kind::Child, failure);
        }
        Hold::new(at, operation, target)
    }
}

/// The run id of a child: the same whenever its start is sent again (UUID version 5, RFC 9562).
fn child_run(parent: RunId, op: OpId) -> RunId {
    RunId(Uuid::new_v5(&parent.0, format!("child {op}").as_bytes()))
}

/// The id of a child whose caller gave it none.
fn own_id(run: RunId) -> WorkflowId {
    WorkflowId::new(run.to_string()).expect("a run id is short and has no odd characters")
}

fn scheduled<I: Serialize + ?Sized>(at: &Scoped, workflow_type: &str, input: &I) -> Result<ChildScheduled, Failure> {
    let refused = |text: String| Failure::new(FailureKind::Payload, text);
    let workflow_type = TypeName::new(workflow_type).map_err(|error| refused(error.to_string()))?;
    let input = Payload::encode(input)
        .map_err(|error| refused(format!("the input of child workflow {workflow_type}: {error}")))?;
    let run = child_run(at.shared.run, OpId(0));
    Ok(ChildScheduled {
        op: OpId(0),
        workflow_id: own_id(run),
        workflow_type,
        queue: at.shared.queue.clone(),
        run,
        input,
        options: ChildOptions::default(),
        memo: Payloads::default(),
        attributes: Attributes::default(),
        headers: Payloads::default(),
    })
}

impl<W: ChildType> IntoFuture for ChildCall<W> {
    type Output = <ChildResult<W> as Future>::Output;
    type IntoFuture = ChildResult<W>;

    /// Starts the child: here the operation gets its number.
    #[track_caller]
    fn into_future(self) -> ChildResult<W> {
        ChildResult::new(self.make().into())
    }
}
