//! What a run's code and its state machine share: operations, commands, signals, time.

use std::{
    cell::{Cell, RefCell},
    collections::{BTreeMap, BTreeSet, VecDeque},
    fmt, mem,
    rc::Rc,
    task::Waker,
};

use highwater_protocol::{
    Event, OpId, QueueName, RunId, Started, Timestamp, TypeName, UpdateId, WorkflowId,
    event::{Attributes, InvalidAttributes, Update},
};
use tracing::Span;

use super::{
    Conclusion, Limits,
    handlers::Table,
    mailbox::Mailbox,
    operations::{Op, StepRun},
    patches::Patches,
    scope::Scope,
    tasks::Tasks,
    trail::Made,
};
use crate::intercept::Interceptors;

/// Shared between a run's state machine and the futures of its code. Everything is on one thread; no borrow is held
/// while the user's code runs.
pub(crate) struct Shared {
    pub(crate) workflow_id: WorkflowId,
    pub(crate) workflow_type: TypeName,
    pub(crate) run: RunId,
    pub(crate) queue: QueueName,
    pub(crate) started: Started,
    pub(crate) started_at: Timestamp,
    pub(crate) limits: Limits,
    pub(crate) interceptors: Interceptors,
    now: Cell<Timestamp>,
    replaying: Cell<bool>,
    pub(super) muted: Cell<bool>,
    /// A query is being answered, and nothing may change.
    pub(super) answering: Cell<bool>,
    pub(super) next_op: Cell<u64>,
    next_uuid: Cell<u64>,
    next_random: Cell<u64>,
    next_waiter: Cell<u64>,
    /// The scope that a request to cancel the run cancels.
    pub(crate) scope: Rc<Scope>,
    /// Boxed, since a map takes room for eleven at once.
    pub(super) ops: RefCell<BTreeMap<OpId, Box<Op>>>,
    pub(super) commands: RefCell<Vec<Event>>,
    pub(super) steps: RefCell<VecDeque<StepRun>>,
    pub(super) mailbox: RefCell<Mailbox>,
    /// The names of the signals that the code receives by itself.
    pub(super) received: RefCell<Vec<TypeName>>,
    pub(super) handlers: RefCell<Table>,
    /// The updates that were accepted.
    pub(super) updates: RefCell<BTreeSet<UpdateId>>,
    /// Those whose handler the code has not registered yet.
    pub(super) unhandled_updates: RefCell<Vec<Update>>,
    pub(super) tasks: Tasks,
    /// What the workflow returned; the run goes on until its handlers have returned, too.
    pub(super) ending: RefCell<Option<Conclusion>>,
    /// By their numbers, in order.
    waiters: RefCell<Vec<(u64, Waker, Awaited)>>,
    /// The start delay has not passed.
    delayed: Cell<bool>,
    pub(super) patches: Rc<Patches>,
    attributes: RefCell<Attributes>,
    /// Events and bytes of the history, up to what the code now sees.
    history_size: Cell<(u64, u64)>,
    /// The history says that it is time to go on as a new run.
    suggested: Cell<bool>,
    /// What the code tells to `tracing` stands under this.
    pub(super) span: Span,
    /// What the code made last.
    pub(super) last_made: RefCell<Option<Made>>,
    /// How many waits there are for other tasks of this run.
    pub(super) local_waits: Rc<Cell<usize>>,
}

/// What code waits for that is no operation.
#[derive(Clone)]
pub(crate) enum Awaited {
    Condition,
    Cancel,
    Signal(TypeName),
}

impl fmt::Display for Awaited {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Condition => f.write_str("a condition"),
            Self::Cancel => f.write_str("a request to cancel"),
            Self::Signal(name) => write!(f, "signal {name}"),
        }
    }
}

/// What there is when a run begins.
pub(super) struct Beginning<'a> {
    pub(super) run: RunId,
    pub(super) started: &'a Started,
    pub(super) limits: Limits,
    pub(super) interceptors: Interceptors,
    pub(super) patches: Rc<Patches>,
    pub(super) replaying: bool,
    pub(super) now: Timestamp,
}

impl Shared {
    pub(super) fn new(beginning: Beginning<'_>) -> Self {
        let Beginning { run, started, limits, interceptors, patches, replaying, now } = beginning;
        Self {
            workflow_id: started.workflow_id.clone(),
            workflow_type: started.workflow_type.clone(),
            run,
            queue: started.queue.clone(),
            started: started.clone(),
            started_at: now,
            limits,
            interceptors,
            now: Cell::new(now),
            replaying: Cell::new(replaying),
            muted: Cell::new(false),
            answering: Cell::new(false),
            next_op: Cell::new(1),
            next_uuid: Cell::new(0),
            next_random: Cell::new(0),
            next_waiter: Cell::new(0),
            scope: Scope::apart(),
            ops: RefCell::default(),
            commands: RefCell::default(),
            steps: RefCell::default(),
            mailbox: RefCell::default(),
            received: RefCell::default(),
            handlers: RefCell::default(),
            updates: RefCell::default(),
            unhandled_updates: RefCell::default(),
            tasks: Tasks::new(&started.workflow_id),
            ending: RefCell::default(),
            waiters: RefCell::default(),
            delayed: Cell::new(started.delay_until.is_some()),
            patches,
            attributes: RefCell::new(started.attributes.clone()),
            history_size: Cell::default(),
            suggested: Cell::new(false),
            span: tracing::info_span!(
                "workflow",
                workflow_id = %started.workflow_id,
                workflow_type = %started.workflow_type,
                %run
            ),
            last_made: RefCell::default(),
            local_waits: Rc::default(),
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

    /// Whether the start delay has not passed yet.
    pub(super) fn is_delayed(&self) -> bool {
        self.delayed.get()
    }

    pub(super) fn end_delay(&self) {
        self.delayed.set(false);
    }

    pub(super) fn set_history_size(&self, events: u64, bytes: u64) {
        self.history_size.set((events, bytes));
    }

    /// Events and bytes of the history, up to what the code now sees.
    pub(crate) fn history_size(&self) -> (u64, u64) {
        self.history_size.get()
    }

    pub(super) fn suggest_continue_as_new(&self) {
        self.suggested.set(true);
    }

    /// Whether the history says that it is time to go on as a new run.
    pub(crate) fn continue_as_new_suggested(&self) -> bool {
        self.suggested.get()
    }

    pub(crate) fn attributes(&self) -> Attributes {
        self.attributes.borrow().clone()
    }

    #[track_caller]
    pub(crate) fn upsert_attributes(&self, attributes: Attributes) -> Result<(), InvalidAttributes> {
        self.refuse_in_query("ctx.upsert_attributes");
        let mut all = self.attributes();
        all.upsert(&attributes);
        all.check()?;
        self.attributes.replace(all);
        self.commands.borrow_mut().push(Event::AttributesUpserted { attributes });
        Ok(())
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

    #[track_caller]
    pub(crate) fn next_random(&self) -> u64 {
        self.refuse_in_query("ctx.random");
        self.next_random.replace(self.next_random.get() + 1)
    }

    /// Moves what the code has issued to where it is compared or recorded.
    pub(crate) fn take_commands(&self, to: &mut VecDeque<Event>) {
        let mut commands = mem::take(&mut *self.commands.borrow_mut());
        self.outbound_commands(&mut commands);
        if to.is_empty() {
            // The lists change places: neither is copied, nor made anew for the next commands.
            let empty = mem::replace(to, commands.into());
            commands = empty.into();
        } else {
            to.extend(commands.drain(..));
        }
        let meanwhile = self.commands.replace(commands);
        self.commands.borrow_mut().extend(meanwhile);
    }

    /// Gives back the room that only code under way needs.
    pub(super) fn release_room(&self) {
        self.commands.borrow_mut().shrink_to_fit();
        let mut ops = self.ops.borrow_mut();
        if ops.is_empty() {
            // An empty map keeps some.
            *ops = BTreeMap::new();
        }
    }

    /// The first step that the code has begun and that has no result on record.
    pub(crate) fn open_step(&self) -> Option<String> {
        self.steps.borrow().front().map(|step| format!("#{} {}", step.op, step.name))
    }

    pub(crate) fn take_steps(&self) -> Vec<StepRun> {
        mem::take(&mut *self.steps.borrow_mut()).into()
    }

    // Conditions and queries.

    /// A number for something that looks again whenever anything changed.
    pub(crate) fn new_waiter(&self) -> u64 {
        self.next_waiter.replace(self.next_waiter.get() + 1)
    }

    /// Looks again when anything changes.
    pub(crate) fn wait(&self, waiter: u64, waker: &Waker, what: &Awaited) {
        let new = (waiter, waker.clone(), what.clone());
        let mut waiters = self.waiters.borrow_mut();
        let before = match waiters.binary_search_by_key(&waiter, |(number, ..)| *number) {
            Ok(at) => Some(mem::replace(&mut waiters[at], new)),
            Err(at) => {
                if waiters.len() == waiters.capacity() {
                    // Most runs have one, and some wait for years.
                    let more = waiters.len().max(1);
                    waiters.reserve_exact(more);
                }
                waiters.insert(at, new);
                None
            }
        };
        drop(waiters);
        drop(before);
    }

    pub(crate) fn stop_waiting(&self, waiter: u64) {
        let mut waiters = self.waiters.borrow_mut();
        let at = waiters.binary_search_by_key(&waiter, |(number, ..)| *number);
        let before = at.map(|at| waiters.remove(at));
        drop(waiters);
        drop(before);
    }

    /// What is waited for that is no operation, in words.
    pub(super) fn waited_for(&self) -> Vec<String> {
        self.waiters.borrow().iter().map(|(_, _, what)| what.to_string()).collect()
    }

    pub(super) fn has_waiters(&self) -> bool {
        !self.waiters.borrow().is_empty()
    }

    /// Something changed: all waiters look again, in the order in which they were made.
    pub(crate) fn wake_waiters(&self) {
        let mut waiters = mem::take(&mut *self.waiters.borrow_mut());
        for (_, waker, _) in waiters.drain(..) {
            waker.wake();
        }
        // Those that wait again are put in the same place.
        let mut meanwhile = self.waiters.replace(waiters);
        self.waiters.borrow_mut().append(&mut meanwhile);
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

    /// Drops all that the code holds, each by itself, so that a destructor which panics takes nothing along. What the
    /// code holds has handles to this, so it would not go by itself.
    pub(super) fn clear(&self) {
        let dropped = |panic: Result<(), String>| {
            if let Err(panic) = panic {
                tracing::error!(%panic, "the code of a run panicked while it was dropped");
            }
        };
        for task in self.tasks.clear() {
            dropped(self.run_code(|| drop(task)));
        }
        let handlers = mem::take(&mut *self.handlers.borrow_mut());
        dropped(self.run_code(|| drop(handlers)));
        let steps = mem::take(&mut *self.steps.borrow_mut());
        dropped(self.run_code(|| drop(steps)));
    }
}
