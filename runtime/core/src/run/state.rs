//! What a run's code and its state machine share: operations, commands, signals, time.

use std::{
    cell::{Cell, RefCell},
    collections::BTreeMap,
    mem,
    rc::Rc,
    task::Waker,
};

use highwater_protocol::{
    Event, OpId, Payload, QueueName, RunId, Started, Timestamp, TypeName, WorkflowId, event::Signal, payload,
};

use super::{
    Limits,
    mailbox::Mailbox,
    operations::{Op, StepRun},
    scope::Scope,
};

type QueryHandler = Rc<dyn Fn(&Payload) -> Result<Payload, payload::Error>>;

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
    pub(super) muted: Cell<bool>,
    /// A query is being answered, and nothing may change.
    pub(super) answering: Cell<bool>,
    pub(super) next_op: Cell<u64>,
    next_uuid: Cell<u64>,
    next_waiter: Cell<u64>,
    /// The scope that a request to cancel the run cancels.
    pub(crate) scope: Rc<Scope>,
    pub(super) ops: RefCell<BTreeMap<OpId, Op>>,
    pub(super) commands: RefCell<Vec<Event>>,
    pub(super) steps: RefCell<Vec<StepRun>>,
    mailbox: RefCell<Mailbox>,
    waiters: RefCell<BTreeMap<u64, Waker>>,
    queries: RefCell<BTreeMap<String, QueryHandler>>,
}

impl Shared {
    pub(crate) fn new(run: RunId, started: &Started, limits: Limits, replaying: bool, now: Timestamp) -> Self {
        Self {
            workflow_id: started.workflow_id.clone(),
            workflow_type: started.workflow_type.clone(),
            run,
            queue: started.queue.clone(),
            limits,
            now: Cell::new(now),
            replaying: Cell::new(replaying),
            muted: Cell::new(false),
            answering: Cell::new(false),
            next_op: Cell::new(1),
            next_uuid: Cell::new(0),
            next_waiter: Cell::new(0),
            scope: Scope::apart(),
            ops: RefCell::default(),
            commands: RefCell::default(),
            steps: RefCell::default(),
            mailbox: RefCell::default(),
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

    /// Panics, at the line of the user's code, while a query is answered: what it changed would be in no history.
    #[track_caller]
    pub(crate) fn refuse_in_query(&self, what: &str) {
        assert!(!self.answering.get(), "{what} in a query: a query reads the run and must not change it");
    }

    #[track_caller]
    pub(crate) fn next_uuid(&self) -> u64 {
        self.refuse_in_query("ctx.uuid");
        self.next_uuid.replace(self.next_uuid.get() + 1)
    }

    pub(crate) fn take_commands(&self) -> Vec<Event> {
        mem::take(&mut *self.commands.borrow_mut())
    }

    /// The first step that the code has begun and that has no result on record.
    pub(crate) fn open_step(&self) -> Option<String> {
        self.steps.borrow().first().map(|step| format!("#{} {}", step.op, step.name))
    }

    pub(crate) fn take_steps(&self) -> Vec<StepRun> {
        mem::take(&mut *self.steps.borrow_mut())
    }

    // Signals, conditions, queries.

    pub(crate) fn push_signal(&self, signal: &Signal) {
        self.mailbox.borrow_mut().push(signal);
    }

    #[track_caller]
    pub(crate) fn pop_signal(&self, name: &TypeName) -> Option<Payload> {
        self.refuse_in_query("a signal was taken");
        self.mailbox.borrow_mut().pop(name).map(|signal| signal.input)
    }

    pub(crate) fn take_signals(&self) -> Vec<Signal> {
        self.mailbox.borrow_mut().take()
    }

    /// A number for something that looks again whenever anything changed.
    pub(crate) fn new_waiter(&self) -> u64 {
        self.next_waiter.replace(self.next_waiter.get() + 1)
    }

    pub(crate) fn wait(&self, waiter: u64, waker: &Waker) {
        let before = self.waiters.borrow_mut().insert(waiter, waker.clone());
        drop(before);
    }

    pub(crate) fn stop_waiting(&self, waiter: u64) {
        let before = self.waiters.borrow_mut().remove(&waiter);
        drop(before);
    }

    /// Something changed: all waiters look again, in the order in which they were made.
    pub(crate) fn wake_waiters(&self) {
        let waiters = mem::take(&mut *self.waiters.borrow_mut());
        for waker in waiters.into_values() {
            waker.wake();
        }
    }

    #[track_caller]
    pub(crate) fn on_query(&self, name: &str, handler: QueryHandler) {
        self.refuse_in_query("ctx.on_query");
        let before = self.queries.borrow_mut().insert(name.to_owned(), handler);
        drop(before);
    }

    /// Marks the run as answering a query until `answer` returns, by whichever way.
    pub(crate) fn answering<T>(&self, answer: impl FnOnce() -> T) -> T {
        struct Reset<'a>(&'a Cell<bool>);
        impl Drop for Reset<'_> {
            fn drop(&mut self) {
                self.0.set(false);
            }
        }
        self.answering.set(true);
        let _reset = Reset(&self.answering);
        answer()
    }

    pub(crate) fn query(&self, name: &str, input: &Payload) -> Option<Result<Payload, payload::Error>> {
        let handler = self.queries.borrow().get(name).cloned()?;
        Some(handler(input))
    }

    pub(crate) fn queries(&self) -> Vec<String> {
        self.queries.borrow().keys().cloned().collect()
    }
}
