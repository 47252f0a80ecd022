//! What a run's code and its state machine share: operations, commands, signals, time.

use std::{
    cell::{Cell, RefCell},
    collections::{BTreeMap, HashMap, VecDeque},
    fmt, mem,
    rc::Rc,
    task::Waker,
};

use highwater_protocol::{
    Event, Failure, FailureKind, OpId, Payload, QueueName, RunId, Started, Timestamp, TypeName, WorkflowId,
    event::{Outcome, Signal},
};

use crate::activity::BoxFuture;

/// Sizes above which a command is refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// The largest payload, in bytes.
    pub payload_max: usize,
}

impl Limits {
    /// What a record needs beside one payload, in bytes: frame, headers, names and options.
    pub const OVERHEAD: usize = 16 * 1024;

    /// The limits under a server that accepts messages of this size.
    pub fn for_message_max(message_max: usize) -> Self {
        Self { payload_max: message_max.saturating_sub(Self::OVERHEAD).max(message_max / 2) }
    }

    /// Why a payload is refused, if it is.
    pub fn check(&self, what: &str, payload: &Payload) -> Option<Failure> {
        let size = payload.data.len();
        (size > self.payload_max).then(|| {
            let max = self.payload_max;
            let text = format!("{what} has {size} bytes, this server's limit for a payload is {max}; pass a reference to the data instead");
            Failure::new(FailureKind::TooLarge, text)
        })
    }

    /// Empties a command that is too large to be recorded and returns the event that tells the code.
    pub(crate) fn refuse_large(self, command: &mut Event) -> Option<Event> {
        let Event::ActivityScheduled(call) = command else { return None };
        let failure = self.check(&format!("the input of activity {}", call.name), &call.input)?;
        call.input = Payload::null();
        Some(super::refused(call.op, failure))
    }
}

/// A local step to be run.
pub struct StepRun {
    /// Which operation.
    pub op: OpId,
    /// Its name.
    pub name: TypeName,
    /// The work, for the async runtime.
    pub work: BoxFuture<'static, Outcome>,
}

impl fmt::Debug for StepRun {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("StepRun").field("op", &self.op).field("name", &self.name).finish_non_exhaustive()
    }
}

/// The kinds of operation.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    Activity,
    Step,
    Timer,
}

/// How an operation ended.
#[derive(Clone, Debug)]
pub(crate) enum Resolution {
    Outcome(Outcome),
    Fired,
    Cancelled,
}

struct Op {
    kind: Kind,
    name: TypeName,
    shielded: bool,
    detached: bool,
    resolution: Option<Resolution>,
    waker: Option<Waker>,
}

type QueryHandler = Rc<dyn Fn(&Payload) -> Result<Payload, highwater_protocol::payload::Error>>;

/// Shared between a run's state machine and the futures of its code. Everything is on one thread; no borrow is held
/// while the user's code runs.
pub(crate) struct Shared {
    pub(crate) workflow_id: WorkflowId,
    pub(crate) workflow_type: TypeName,
    pub(crate) run: RunId,
    pub(crate) queue: QueueName,
    pub(crate) limits: Limits,
    now: Cell<Timestamp>,
    replaying: Cell<bool>,
    muted: Cell<bool>,
    next_op: Cell<u64>,
    next_uuid: Cell<u64>,
    next_waiter: Cell<u64>,
    cancel: RefCell<Option<String>>,
    ops: RefCell<BTreeMap<OpId, Op>>,
    commands: RefCell<Vec<Event>>,
    steps: RefCell<Vec<StepRun>>,
    signals: RefCell<HashMap<TypeName, VecDeque<Payload>>>,
    waiters: RefCell<BTreeMap<u64, Waker>>,
    queries: RefCell<BTreeMap<String, QueryHandler>>,
}

impl Shared {
    pub(crate) fn new(run: RunId, started: &Started, limits: Limits, replaying: bool) -> Self {
        Self {
            workflow_id: started.workflow_id.clone(),
            workflow_type: started.workflow_type.clone(),
            run,
            queue: started.queue.clone(),
            limits,
            now: Cell::default(),
            replaying: Cell::new(replaying),
            muted: Cell::new(false),
            next_op: Cell::new(1),
            next_uuid: Cell::new(0),
            next_waiter: Cell::new(0),
            cancel: RefCell::default(),
            ops: RefCell::default(),
            commands: RefCell::default(),
            steps: RefCell::default(),
            signals: RefCell::default(),
            waiters: RefCell::default(),
            queries: RefCell::default(),
        }
    }

    pub(crate) fn now(&self) -> Timestamp {
        self.now.get()
    }

    /// Workflow time never goes back.
    pub(crate) fn set_time(&self, time: Timestamp) {
        self.now.set(self.now.get().max(time));
    }

    pub(crate) fn is_replaying(&self) -> bool {
        self.replaying.get()
    }

    pub(crate) fn go_live(&self) {
        self.replaying.set(false);
    }

    /// From here on nothing the code drops issues a command.
    pub(crate) fn mute(&self) {
        self.muted.set(true);
    }

    pub(crate) fn next_uuid(&self) -> u64 {
        self.next_uuid.replace(self.next_uuid.get() + 1)
    }

    // Operations.

    /// Makes an operation. Under a cancelled run it is cancelled from the start and never issued.
    pub(crate) fn open(
        &self,
        kind: Kind,
        name: TypeName,
        shielded: bool,
        issue: impl FnOnce(OpId) -> Option<Event>,
    ) -> OpId {
        let op = OpId(self.next_op.replace(self.next_op.get() + 1));
        let refused = !shielded && self.cancel_requested();
        let resolution = refused.then_some(Resolution::Cancelled);
        self.ops.borrow_mut().insert(op, Op { kind, name, shielded, detached: false, resolution, waker: None });
        if !refused {
            self.commands.borrow_mut().extend(issue(op));
        }
        op
    }

    /// Hands a step's work over, unless the step was cancelled from the start.
    pub(crate) fn run_step(&self, op: OpId, name: TypeName, work: BoxFuture<'static, Outcome>) {
        if self.is_pending(op, Kind::Step) {
            self.steps.borrow_mut().push(StepRun { op, name, work });
        }
    }

    pub(crate) fn is_pending(&self, op: OpId, kind: Kind) -> bool {
        self.ops.borrow().get(&op).is_some_and(|o| o.kind == kind && o.resolution.is_none())
    }

    /// Takes an operation's end, or leaves the waker for it.
    pub(crate) fn take_resolution(&self, op: OpId, waker: &Waker) -> Option<Resolution> {
        let mut ops = self.ops.borrow_mut();
        let entry = ops.get_mut(&op)?;
        if entry.resolution.is_some() {
            return ops.remove(&op).and_then(|entry| entry.resolution);
        }
        match &mut entry.waker {
            Some(known) => known.clone_from(waker),
            none => *none = Some(waker.clone()),
        }
        None
    }

    /// The code no longer wants it.
    pub(crate) fn abandon(&self, op: OpId) {
        if self.muted.get() {
            return;
        }
        let Some(entry) = self.ops.borrow_mut().remove(&op) else { return };
        if entry.resolution.is_none() {
            self.issue_cancel(op, entry.kind);
        }
    }

    /// The code no longer waits for it, but wants it to go on.
    pub(crate) fn detach(&self, op: OpId) {
        if let Some(entry) = self.ops.borrow_mut().get_mut(&op) {
            entry.detached = true;
        }
    }

    fn issue_cancel(&self, op: OpId, kind: Kind) {
        let command = match kind {
            Kind::Activity => Event::ActivityCancelRequested { op },
            Kind::Timer => Event::TimerCancelled { op },
            Kind::Step => {
                self.steps.borrow_mut().retain(|step| step.op != op);
                return;
            }
        };
        self.commands.borrow_mut().push(command);
    }

    /// Ends an operation; an error says what the code has under this number instead.
    pub(crate) fn resolve(
        &self,
        op: OpId,
        kind: Kind,
        name: Option<&TypeName>,
        resolution: Resolution,
    ) -> Result<(), String> {
        let waker = {
            let mut ops = self.ops.borrow_mut();
            let Some(entry) = ops.get_mut(&op) else { return Err(format!("has no operation #{op} under way")) };
            if entry.kind != kind || name.is_some_and(|name| *name != entry.name) {
                return Err(format!("made operation #{op} as {} {}", entry.kind.word(), entry.name));
            }
            if entry.resolution.is_some() {
                return Err(format!("has operation #{op} ended already"));
            }
            if entry.detached {
                ops.remove(&op);
                None
            } else {
                entry.resolution = Some(resolution);
                entry.waker.take()
            }
        };
        if kind == Kind::Step {
            self.steps.borrow_mut().retain(|step| step.op != op);
        }
        if let Some(waker) = waker {
            waker.wake();
        }
        Ok(())
    }

    pub(crate) fn cancel_requested(&self) -> bool {
        self.cancel.borrow().is_some()
    }

    pub(crate) fn cancel_reason(&self) -> Option<String> {
        self.cancel.borrow().clone()
    }

    /// The run is asked to cancel: everything that is not shielded ends as cancelled, in the order in which it was made.
    pub(crate) fn cancel(&self, reason: &str) {
        self.cancel.replace(Some(reason.to_owned()));
        let pending: Vec<(OpId, Kind)> = self
            .ops
            .borrow()
            .iter()
            .filter(|(_, op)| op.resolution.is_none() && !op.shielded && !op.detached)
            .map(|(id, op)| (*id, op.kind))
            .collect();
        for (op, kind) in pending {
            self.issue_cancel(op, kind);
            let waker = self.ops.borrow_mut().get_mut(&op).and_then(|entry| {
                entry.resolution = Some(Resolution::Cancelled);
                entry.waker.take()
            });
            if let Some(waker) = waker {
                waker.wake();
            }
        }
    }

    pub(crate) fn take_commands(&self) -> Vec<Event> {
        mem::take(&mut *self.commands.borrow_mut())
    }

    pub(crate) fn take_steps(&self) -> Vec<StepRun> {
        mem::take(&mut *self.steps.borrow_mut())
    }

    pub(crate) fn pending(&self) -> Vec<String> {
        let ops = self.ops.borrow();
        let open = ops.iter().filter(|(_, op)| op.resolution.is_none());
        open.map(|(id, op)| format!("{} {} (#{id})", op.kind.word(), op.name)).collect()
    }

    // Signals, conditions, queries.

    pub(crate) fn push_signal(&self, signal: &Signal) {
        self.signals.borrow_mut().entry(signal.name.clone()).or_default().push_back(signal.input.clone());
    }

    pub(crate) fn pop_signal(&self, name: &TypeName) -> Option<Payload> {
        self.signals.borrow_mut().get_mut(name)?.pop_front()
    }

    pub(crate) fn take_signals(&self) -> Vec<Signal> {
        let mut left: Vec<_> = mem::take(&mut *self.signals.borrow_mut()).into_iter().collect();
        left.sort_by(|(a, _), (b, _)| a.cmp(b));
        let each = |(name, inputs): (TypeName, VecDeque<Payload>)| {
            inputs.into_iter().map(move |input| Signal { name: name.clone(), input })
        };
        left.into_iter().flat_map(each).collect()
    }

    /// A number for something that looks again whenever anything changed.
    pub(crate) fn new_waiter(&self) -> u64 {
        self.next_waiter.replace(self.next_waiter.get() + 1)
    }

    pub(crate) fn wait(&self, waiter: u64, waker: &Waker) {
        self.waiters.borrow_mut().insert(waiter, waker.clone());
    }

    pub(crate) fn stop_waiting(&self, waiter: u64) {
        self.waiters.borrow_mut().remove(&waiter);
    }

    /// Something changed: all waiters look again, in the order in which they were made.
    pub(crate) fn wake_waiters(&self) {
        let waiters = mem::take(&mut *self.waiters.borrow_mut());
        for waker in waiters.into_values() {
            waker.wake();
        }
    }

    pub(crate) fn on_query(&self, name: &str, handler: QueryHandler) {
        self.queries.borrow_mut().insert(name.to_owned(), handler);
    }

    pub(crate) fn query(
        &self,
        name: &str,
        input: &Payload,
    ) -> Option<Result<Payload, highwater_protocol::payload::Error>> {
        let handler = self.queries.borrow().get(name).cloned()?;
        Some(handler(input))
    }

    pub(crate) fn queries(&self) -> Vec<String> {
        self.queries.borrow().keys().cloned().collect()
    }
}

impl Kind {
    fn word(self) -> &'static str {
        match self {
            Self::Activity => "activity",
            Self::Step => "step",
            Self::Timer => "timer",
        }
    }
}
