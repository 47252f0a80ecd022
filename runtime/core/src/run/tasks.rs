//! What a run's code does at the same time: its main future, handlers, spawned tasks.
//!
//! They are polled in the order in which they were made, and only those that were woken. So the order is the same at
//! every replay, however many there are, and one that waits costs nothing.

use std::{
    cell::{Cell, RefCell},
    mem,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicBool, Ordering},
    },
    task::{Wake, Waker},
    thread::{self, ThreadId},
};

use futures_util::future::LocalBoxFuture;
use highwater_protocol::{TypeName, UpdateId, WorkflowId, event::Outcome};

use super::{Conclusion, Unfinished, handlers::Ending};

/// The code of a task.
pub(super) type Code = LocalBoxFuture<'static, Ended>;

/// What a task ended with.
pub(crate) enum Ended {
    /// The workflow returned.
    Concluded(Conclusion),
    /// The handler of an update returned.
    Answered(Outcome),
    /// Nobody asks.
    Quietly,
}

/// What a task is for.
#[derive(Clone)]
pub(crate) enum Role {
    /// It is the workflow itself.
    Main,
    /// It takes a signal.
    Signal(TypeName, Ending),
    /// It does an update.
    Update(UpdateId, Ending),
    /// The code spawned it.
    Spawned,
}

impl Role {
    /// Whether the run does not end before it does.
    fn holds(&self) -> bool {
        match self {
            Self::Main => true,
            Self::Signal(_, ending) | Self::Update(_, ending) => ending.get() == Unfinished::Wait,
            Self::Spawned => false,
        }
    }
}

/// The tasks of a run.
pub(super) struct Tasks {
    next: Cell<u64>,
    list: RefCell<List>,
    woken: Arc<Woken>,
}

/// By their numbers, in order. Most runs have one, and many wait for years, so it has no room to spare.
#[derive(Default)]
struct List(Vec<(u64, Box<Task>)>);

impl List {
    /// Adds one behind all that are there.
    fn push(&mut self, number: u64, task: Task) {
        if self.0.len() == self.0.capacity() {
            self.0.reserve_exact(self.0.len().max(1));
        }
        self.0.push((number, Box::new(task)));
    }

    fn place(&self, number: u64) -> Option<usize> {
        self.0.binary_search_by_key(&number, |(number, _)| *number).ok()
    }

    fn get_mut(&mut self, number: u64) -> Option<&mut Task> {
        let at = self.place(number)?;
        Some(&mut self.0[at].1)
    }

    fn remove(&mut self, number: u64) -> Option<Box<Task>> {
        let at = self.place(number)?;
        Some(self.0.remove(at).1)
    }

    fn iter(&self) -> impl Iterator<Item = &Task> {
        self.0.iter().map(|(_, task)| &**task)
    }
}

struct Task {
    role: Role,
    /// Absent while it is polled.
    code: Option<Code>,
    waker: Arc<TaskWaker>,
}

/// A task while it is polled.
pub(super) struct Lent {
    pub(super) role: Role,
    pub(super) code: Code,
    pub(super) waker: Waker,
}

impl Tasks {
    pub(super) fn new(workflow: &WorkflowId) -> Self {
        Self { next: Cell::default(), list: RefCell::default(), woken: Arc::new(Woken::new(workflow)) }
    }

    /// At rest, nothing of the run wakes its tasks: whoever does so is a stranger.
    pub(super) fn rest(&self, rests: bool) {
        let state = if rests { State::Rests } else { State::Runs };
        self.woken.lock().state = state;
    }

    /// The run is no longer here, and whoever wakes it is too late.
    pub(super) fn end(&self) {
        self.woken.lock().state = State::Ended;
    }

    /// Who has woken a task and does not belong to the run.
    pub(super) fn stranger(&self) -> Option<String> {
        self.woken.lock().stranger.clone()
    }

    /// Adds a task, which is polled after all that are there.
    pub(super) fn add(&self, role: Role, code: Code) -> u64 {
        let number = self.next.replace(self.next.get() + 1);
        let waker = Arc::new(TaskWaker { number, queued: AtomicBool::new(false), woken: Arc::clone(&self.woken) });
        waker.wake_by_ref();
        self.list.borrow_mut().push(number, Task { role, code: Some(code), waker });
        number
    }

    /// Those that were woken since the last call, in the order in which they were made.
    pub(super) fn take_woken(&self) -> Vec<u64> {
        let mut queue = self.woken.lock();
        // An empty list keeps its room.
        let mut woken = if queue.tasks.is_empty() { Vec::new() } else { mem::take(&mut queue.tasks) };
        drop(queue);
        woken.sort_unstable();
        woken
    }

    /// Gives back the list that [`take_woken`](Self::take_woken) gave, for those that are woken next.
    pub(super) fn reuse(&self, mut list: Vec<u64>) {
        let mut queue = self.woken.lock();
        if queue.tasks.is_empty() {
            list.clear();
            queue.tasks = list;
        }
    }

    /// Takes a task out to be polled, unless it is gone.
    pub(super) fn lend(&self, number: u64) -> Option<Lent> {
        let mut list = self.list.borrow_mut();
        let task = list.get_mut(number)?;
        // What wakes it from here on wants it to be polled again.
        task.waker.queued.store(false, Ordering::Release);
        let waker = Waker::from(Arc::clone(&task.waker));
        Some(Lent { role: task.role.clone(), code: task.code.take()?, waker })
    }

    /// Puts a task back that has not ended. One that was dropped meanwhile comes back, to be dropped now.
    #[must_use]
    pub(super) fn put_back(&self, number: u64, code: Code) -> Option<Code> {
        match self.list.borrow_mut().get_mut(number) {
            Some(task) => task.code.replace(code),
            None => Some(code),
        }
    }

    /// Takes a task away, for good; the caller drops what was left of it when nothing is borrowed.
    #[must_use]
    pub(super) fn remove(&self, number: u64) -> Option<Code> {
        let task = self.list.borrow_mut().remove(number)?;
        task.code
    }

    /// Takes all away, to be dropped one by one.
    pub(super) fn clear(&self) -> Vec<Code> {
        let list = mem::take(&mut *self.list.borrow_mut());
        list.0.into_iter().filter_map(|(_, task)| task.code).collect()
    }

    /// Whether the run waits for any of them before it ends.
    pub(super) fn hold(&self) -> bool {
        self.list.borrow().iter().any(|task| task.role.holds())
    }

    /// The handlers that are under way, in words.
    pub(super) fn handlers(&self) -> Vec<String> {
        let list = self.list.borrow();
        let words = |task: &Task| match &task.role {
            Role::Signal(name, _) => Some(format!("handler of signal {name}")),
            Role::Update(id, _) => Some(format!("handler of update {id}")),
            Role::Main | Role::Spawned => None,
        };
        list.iter().filter_map(words).collect()
    }
}

/// The tasks that were woken, each once.
struct Woken {
    workflow: WorkflowId,
    /// The thread of the run.
    home: ThreadId,
    queue: Mutex<Queue>,
}

struct Queue {
    tasks: Vec<u64>,
    state: State,
    stranger: Option<String>,
}

#[derive(PartialEq)]
enum State {
    Runs,
    Rests,
    Ended,
}

impl Woken {
    fn new(workflow: &WorkflowId) -> Self {
        let queue = Queue { tasks: Vec::new(), state: State::Runs, stranger: None };
        Self { workflow: workflow.clone(), home: thread::current().id(), queue: Mutex::new(queue) }
    }

    fn lock(&self) -> MutexGuard<'_, Queue> {
        self.queue.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn wake(&self, task: u64) {
        let here = thread::current();
        let abroad = here.id() != self.home;
        let mut queue = self.lock();
        match queue.state {
            State::Ended => {}
            State::Runs if !abroad => queue.tasks.push(task),
            State::Runs | State::Rests => {
                let stranger = match here.name() {
                    _ if !abroad => "other code on its thread, while it was at rest".to_owned(),
                    Some(name) => format!("the thread {name:?}"),
                    None => "a thread without a name".to_owned(),
                };
                let first = queue.stranger.is_none();
                queue.stranger = Some(stranger.clone());
                drop(queue);
                if first {
                    // The run may get no event for months; until then nobody else tells.
                    tracing::error!(
                        workflow_id = %self.workflow, by = stranger,
                        "workflow code was woken from outside: it awaits something that is not of `ctx`, and fails at its next event"
                    );
                }
            }
        }
    }
}

struct TaskWaker {
    number: u64,
    queued: AtomicBool,
    woken: Arc<Woken>,
}

impl Wake for TaskWaker {
    fn wake(self: Arc<Self>) {
        self.wake_by_ref();
    }

    fn wake_by_ref(self: &Arc<Self>) {
        if !self.queued.swap(true, Ordering::AcqRel) {
            self.woken.wake(self.number);
        }
    }
}
