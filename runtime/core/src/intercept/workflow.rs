//! Within workflow code: what goes in and what comes out.

use std::{borrow::Cow, sync::Arc};

use highwater_protocol::{
    Event, OpId, Payload, Payloads, QueueName, RunId, Started, Timestamp, TypeName, UpdateId, WorkflowId,
    event::{ActivityScheduled, ChildScheduled, ExternalScheduled, Outcome, Signal, Update},
};

use crate::run::{Conclusion, Shared};

/// Sees what goes into and comes out of the workflows of a worker, and may change it.
///
/// What comes in was recorded as it came, and is changed for the code only. What goes out is recorded as it is after
/// the interceptors. Of several, those registered first are nearest to the outside: they see first what comes in and
/// last what goes out.
///
/// Interceptors are called at replay as well, and what they change must be the same then: no time but [`RunView::now`],
/// no randomness, no state that outlives a call. A message may be shown more than once.
///
/// ```
/// use highwater_core::intercept::{Outbound, RunView, WorkflowInterceptor};
/// use highwater_protocol::Payload;
///
/// /// Tells every activity which run asked for it.
/// struct Stamp;
///
/// impl WorkflowInterceptor for Stamp {
///     fn outbound(&self, run: &RunView<'_>, message: Outbound<'_>) {
///         if let Outbound::Activity(call) = message {
///             call.headers.insert("asked-by", Payload::encode(run.workflow_id().as_str()).expect("text encodes"));
///         }
///     }
/// }
/// ```
pub trait WorkflowInterceptor: Send + Sync + 'static {
    /// Something is about to reach the code.
    fn inbound(&self, run: &RunView<'_>, message: Inbound<'_>) {
        let _ = (run, message);
    }

    /// Something is about to leave the code.
    fn outbound(&self, run: &RunView<'_>, message: Outbound<'_>) {
        let _ = (run, message);
    }
}

impl<T: WorkflowInterceptor + ?Sized> WorkflowInterceptor for Arc<T> {
    fn inbound(&self, run: &RunView<'_>, message: Inbound<'_>) {
        (**self).inbound(run, message);
    }

    fn outbound(&self, run: &RunView<'_>, message: Outbound<'_>) {
        (**self).outbound(run, message);
    }
}

/// What reaches workflow code.
#[derive(Debug)]
#[non_exhaustive]
pub enum Inbound<'a> {
    /// The run begins.
    Started {
        /// Its input.
        input: &'a mut Payload,
    },
    /// A handler or a receiver takes a signal.
    Signal(&'a mut Signal),
    /// A validator or a handler takes an update.
    Update(&'a mut Update),
    /// A handler is asked a query.
    Query {
        /// The query's name.
        name: &'a TypeName,
        /// Its argument.
        argument: &'a mut Payload,
    },
    /// An activity that the code called has ended.
    ActivityClosed {
        /// Which one.
        op: OpId,
        /// How.
        outcome: &'a mut Outcome,
    },
    /// A child that the code called has ended.
    ChildClosed {
        /// Which one.
        op: OpId,
        /// How.
        outcome: &'a mut Outcome,
    },
}

/// What leaves workflow code.
#[derive(Debug)]
#[non_exhaustive]
pub enum Outbound<'a> {
    /// It calls an activity.
    Activity(&'a mut ActivityScheduled),
    /// It calls a child.
    Child(&'a mut ChildScheduled),
    /// It signals or cancels another workflow.
    External(&'a mut ExternalScheduled),
    /// It answers a query.
    Answer {
        /// The query's name.
        name: &'a TypeName,
        /// The answer.
        answer: &'a mut Payload,
    },
    /// It has done an update.
    UpdateClosed {
        /// Which one.
        id: &'a UpdateId,
        /// What it gave.
        outcome: &'a mut Outcome,
    },
    /// It has ended.
    Ended(&'a mut Conclusion),
}

/// A run, as an interceptor sees it.
#[derive(Clone, Copy)]
pub struct RunView<'a> {
    shared: &'a Shared,
}

impl std::fmt::Debug for RunView<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("RunView").field("workflow_id", self.workflow_id()).field("run", &self.run_id()).finish()
    }
}

impl RunView<'_> {
    /// The workflow's id.
    pub fn workflow_id(&self) -> &WorkflowId {
        &self.shared.workflow_id
    }

    /// The workflow's type.
    pub fn workflow_type(&self) -> &TypeName {
        &self.shared.workflow_type
    }

    /// The run.
    pub fn run_id(&self) -> RunId {
        self.shared.run
    }

    /// The run's queue.
    pub fn queue(&self) -> &QueueName {
        &self.shared.queue
    }

    /// The context headers that the run was started with.
    pub fn headers(&self) -> &Payloads {
        &self.shared.interceptors.headers
    }

    /// The workflow's time.
    pub fn now(&self) -> Timestamp {
        self.shared.now()
    }

    /// Whether this has happened before, and is gone through again. For logging only.
    pub fn is_replaying(&self) -> bool {
        self.shared.is_replaying()
    }
}

/// The interceptors of a run.
pub(crate) struct Interceptors {
    chain: Arc<[Arc<dyn WorkflowInterceptor>]>,
    headers: Payloads,
}

impl Interceptors {
    pub(crate) fn new(chain: Arc<[Arc<dyn WorkflowInterceptor>]>, started: &Started) -> Self {
        // Nobody asks for the headers where there is no interceptor.
        let headers = if chain.is_empty() { Payloads::default() } else { started.headers.clone() };
        Self { chain, headers }
    }
}

impl Shared {
    fn interceptors(&self) -> impl DoubleEndedIterator<Item = &dyn WorkflowInterceptor> {
        self.interceptors.chain.iter().map(|interceptor| &**interceptor)
    }

    /// Whether code of the user's may run when an inbound event comes: an interceptor, a handler, or the destructor of
    /// what a step captured.
    pub(crate) fn may_reach_code(&self, event: &Event) -> bool {
        let for_handlers = matches!(
            event,
            Event::Started(_)
                | Event::Signaled(_)
                | Event::UpdateAccepted(_)
                | Event::CancelRequested { .. }
                | Event::StepClosed { .. }
        );
        for_handlers || self.is_intercepted()
    }

    /// The input as it reaches the code.
    pub(crate) fn inbound_input<'a>(&self, input: &'a Payload) -> Cow<'a, Payload> {
        let mut shown = Cow::Borrowed(input);
        for interceptor in self.interceptors() {
            interceptor.inbound(&RunView { shared: self }, Inbound::Started { input: shown.to_mut() });
        }
        shown
    }

    /// A signal as it reaches the code.
    pub(crate) fn inbound_signal<'a>(&self, signal: &'a Signal) -> Cow<'a, Signal> {
        let mut shown = Cow::Borrowed(signal);
        for interceptor in self.interceptors() {
            interceptor.inbound(&RunView { shared: self }, Inbound::Signal(shown.to_mut()));
        }
        shown
    }

    /// An update as it reaches the code.
    pub(crate) fn inbound_update<'a>(&self, update: &'a Update) -> Cow<'a, Update> {
        let mut shown = Cow::Borrowed(update);
        for interceptor in self.interceptors() {
            interceptor.inbound(&RunView { shared: self }, Inbound::Update(shown.to_mut()));
        }
        shown
    }

    /// The argument of a query as it reaches the code.
    pub(crate) fn inbound_query<'a>(&self, name: &TypeName, argument: &'a Payload) -> Cow<'a, Payload> {
        let mut shown = Cow::Borrowed(argument);
        for interceptor in self.interceptors() {
            interceptor.inbound(&RunView { shared: self }, Inbound::Query { name, argument: shown.to_mut() });
        }
        shown
    }

    /// What ends an operation, as it reaches the code.
    pub(crate) fn inbound_event<'a>(&self, event: &'a Event) -> Cow<'a, Event> {
        let mut shown = Cow::Borrowed(event);
        if !matches!(event, Event::ActivityClosed { .. } | Event::ChildClosed { .. }) {
            return shown;
        }
        for interceptor in self.interceptors() {
            let message = match shown.to_mut() {
                Event::ActivityClosed { op, outcome, .. } => Inbound::ActivityClosed { op: *op, outcome },
                Event::ChildClosed { op, outcome } => Inbound::ChildClosed { op: *op, outcome },
                other => unreachable!("{other} ends no operation"),
            };
            interceptor.inbound(&RunView { shared: self }, message);
        }
        shown
    }

    /// Whether interceptors see what leaves the code.
    pub(crate) fn is_intercepted(&self) -> bool {
        !self.interceptors.chain.is_empty()
    }

    /// Commands as they leave the code.
    pub(crate) fn outbound_commands(&self, commands: &mut [Event]) {
        if !self.is_intercepted() {
            return;
        }
        for command in commands {
            for interceptor in self.interceptors().rev() {
                let message = match command {
                    Event::ActivityScheduled(call) => Outbound::Activity(call),
                    Event::ChildScheduled(call) => Outbound::Child(call),
                    Event::ExternalScheduled(call) => Outbound::External(call),
                    Event::UpdateClosed { id, outcome } => Outbound::UpdateClosed { id, outcome },
                    // What has nothing of the user's in it.
                    _ => break,
                };
                interceptor.outbound(&RunView { shared: self }, message);
            }
        }
    }

    /// The answer to a query as it leaves the code.
    pub(crate) fn outbound_answer(&self, name: &TypeName, mut answer: Payload) -> Payload {
        for interceptor in self.interceptors().rev() {
            interceptor.outbound(&RunView { shared: self }, Outbound::Answer { name, answer: &mut answer });
        }
        answer
    }

    /// How the run ends, as it leaves the code.
    pub(crate) fn outbound_conclusion(&self, mut conclusion: Conclusion) -> Conclusion {
        for interceptor in self.interceptors().rev() {
            interceptor.outbound(&RunView { shared: self }, Outbound::Ended(&mut conclusion));
        }
        conclusion
    }
}
