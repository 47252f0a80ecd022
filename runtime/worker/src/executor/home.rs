//! The engine's own thread, its *home*, on which workflow code runs between the engine's turns.
//!
//! An event goes from the connection to the engine, to the code, and back. On one thread none of that wakes another
//! one, which would take longer than all of the work. The thread has an async runtime for the connection and the
//! engine, and leaves it for the code: so code finds no runtime, and fails at the line that wants one.
//!
//! Code that takes long must not keep the engine from its leases and its other work. A second thread, the *substitute*,
//! takes the engine's turns meanwhile. It gives them back when the code is done, as runs cannot move to another thread.
//! A thread whose code takes too long is left behind with its runs, and another one becomes the home.

use std::{
    any::Any,
    collections::VecDeque,
    convert::Infallible,
    fmt,
    future::poll_fn,
    io, mem,
    panic::{self, AssertUnwindSafe},
    pin::{Pin, pin},
    sync::{Arc, Condvar, Mutex, MutexGuard, OnceLock, PoisonError},
    task::{Poll, Waker},
    thread,
    time::Duration,
};

use futures_util::future::{AbortHandle, abortable};
use highwater_core::{panic::catch, run::Run};
use tokio::{
    runtime::{self, Runtime},
    sync::oneshot,
    time::sleep,
};

use super::{Job, Report, Setup, busy::Busy, run_safely, watch::Watch};
use crate::by_key::ByKey;

/// How long a call may keep the thread before others are to have another one.
const CALL_MAX: Duration = Duration::from_millis(100);
/// How often is looked for that.
const LOOK_EVERY: Duration = Duration::from_millis(50);

/// As much stack as a main thread has by default, as code of the user's may count on that.
const STACK: usize = 8 << 20;

/// What is to be done between the engine's turns.
pub(crate) enum Chore {
    /// Work for a run.
    Job(Job),
    /// Other code of the user's that is known to be quick. It need not be this time.
    Call(Box<dyn FnOnce() + Send>),
}

/// What the thread is for, and the runtime that it lives on. Whoever polls it has it.
struct Engine {
    work: Pin<Box<dyn Future<Output = ()> + Send>>,
    runtime: Runtime,
    tell: oneshot::Sender<End>,
}

/// How the engine ends: with a panic, if it is a bug of ours.
type End = Result<(), Box<dyn Any + Send>>;

/// The thread, as the engine sees it.
pub(crate) struct Home {
    setup: OnceLock<Setup>,
    seat: Mutex<Seat>,
    /// The engine was put back, or another thread is the home.
    moved: Condvar,
    busy: Busy,
}

#[derive(Default)]
struct Seat {
    /// The engine, when nobody has it.
    engine: Option<Engine>,
    chores: VecDeque<Chore>,
    /// Grows with every thread that becomes the home.
    number: u64,
    watch: Arc<Watch>,
    /// The home waits for the engine, which the substitute has.
    wanted: bool,
    /// Of whoever polls the engine.
    waker: Option<Waker>,
    ended: bool,
}

/// Who polls the engine.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Who {
    Home,
    Substitute,
}

/// Has what is on the thread end, when whoever waits for it does no more.
struct AbortOnDrop(AbortHandle);

impl Drop for AbortOnDrop {
    fn drop(&mut self) {
        self.0.abort();
    }
}

impl Seat {
    /// Has the engine polled.
    fn wake(&self) {
        if let Some(waker) = &self.waker {
            waker.wake_by_ref();
        }
    }
}

impl Home {
    pub(crate) fn new() -> Arc<Self> {
        Arc::new(Self { setup: OnceLock::new(), seat: Mutex::default(), moved: Condvar::new(), busy: Busy::new() })
    }

    /// Runs the engine, and what belongs to it, on a thread of its own. When this is dropped it ends there, too.
    pub(crate) async fn host<T: Send + 'static>(
        self: Arc<Self>,
        work: impl Future<Output = T> + Send + 'static,
    ) -> io::Result<T> {
        let runtime = runtime::Builder::new_current_thread().enable_all().build()?;
        let (work, abort) = abortable(work);
        let _abort = AbortOnDrop(abort);
        let (result, mut results) = oneshot::channel();
        let work = Box::pin(async move {
            if let Ok(output) = work.await {
                let _ = result.send(output);
            }
        });
        let (tell, told) = oneshot::channel();
        {
            let mut seat = self.lock();
            seat.engine = Some(Engine { work, runtime, tell });
            self.start_home(&mut seat)?;
        }
        let home = Arc::clone(&self);
        thread::Builder::new().name("highwater-substitute".into()).spawn(move || home.substitute())?;
        if let Ok(Err(panic)) = told.await {
            panic::resume_unwind(panic);
        }
        Ok(results.try_recv().expect("an engine that nobody aborts leaves a result"))
    }

    /// What the code runs with.
    pub(super) fn furnish(&self, setup: Setup) {
        let _ = self.setup.set(setup);
    }

    /// Has something done after the engine's turn.
    pub(crate) fn add(&self, chore: Chore) {
        let mut seat = self.lock();
        seat.chores.push_back(chore);
        // It may come from a task beside the engine.
        if seat.chores.len() == 1 {
            seat.wake();
        }
    }

    /// Leaves the thread behind when a call keeps it, for ever. What the call has begun goes on there.
    async fn look_after_calls(self: &Arc<Self>) -> Infallible {
        loop {
            sleep(LOOK_EVERY).await;
            let mut seat = self.lock();
            if seat.watch.abandon_long_call(CALL_MAX) {
                self.replace(&mut seat);
                if let Some(setup) = self.setup.get() {
                    let _ = setup.reports.send(Report::ThreadLost { thread: 0, culprit: None });
                }
            }
        }
    }

    /// Leaves the thread behind if a run's code has kept it for longer than `timeout`, and reports that.
    pub(super) fn watch(self: &Arc<Self>, timeout: Duration) {
        let mut seat = self.lock();
        if let Some(culprit) = seat.watch.abandon_if_stuck(timeout)
            && let Some(setup) = self.setup.get()
        {
            self.replace(&mut seat);
            let _ = setup.reports.send(Report::ThreadLost { thread: 0, culprit: Some(culprit) });
        }
    }

    /// Makes another thread the home.
    fn replace(self: &Arc<Self>, seat: &mut Seat) {
        // The runs are built again, and what was to be done for them with them.
        seat.chores.retain(|chore| matches!(chore, Chore::Call(_)));
        self.busy.end();
        self.start_home(seat).expect("the operating system can start a thread");
    }

    fn start_home(self: &Arc<Self>, seat: &mut Seat) -> io::Result<()> {
        seat.number += 1;
        seat.watch = Arc::default();
        let (home, number, watch) = (Arc::clone(self), seat.number, Arc::clone(&seat.watch));
        thread::Builder::new()
            .name("highwater-engine".into())
            .stack_size(STACK)
            .spawn(move || home.live(number, &watch))?;
        Ok(())
    }

    /// What the home does for as long as it is it.
    fn live(self: &Arc<Self>, number: u64, watch: &Watch) {
        watch.install();
        let mut runs = ByKey::default();
        while let Some(engine) = self.take(number) {
            if !self.turn(engine, Who::Home) || !self.do_chores(number, watch, &mut runs) {
                return;
            }
        }
    }

    /// Takes the engine, and waits for it while the substitute has it. Nothing when the thread is not the home any
    /// more.
    fn take(&self, number: u64) -> Option<Engine> {
        let mut seat = self.lock();
        loop {
            if seat.ended || seat.number != number {
                return None;
            }
            if let Some(engine) = seat.engine.take() {
                seat.wanted = false;
                return Some(engine);
            }
            seat.wanted = true;
            seat.wake();
            seat = self.moved.wait(seat).unwrap_or_else(PoisonError::into_inner);
        }
    }

    /// Polls the engine until there is something else to do, and puts it back. `false` when it has ended.
    fn turn(self: &Arc<Self>, mut engine: Engine, who: Who) -> bool {
        let Engine { work, runtime, .. } = &mut engine;
        let mut watchdog = pin!(self.look_after_calls());
        let polled = poll_fn(|cx| {
            if who == Who::Substitute {
                // Only while it is at work can a call be a long one.
                let _ = watchdog.as_mut().poll(cx);
            }
            if work.as_mut().poll(cx).is_ready() {
                return Poll::Ready(false);
            }
            let mut seat = self.lock();
            let leaves = if who == Who::Home { !seat.chores.is_empty() } else { seat.wanted };
            if leaves {
                return Poll::Ready(true);
            }
            match &mut seat.waker {
                Some(waker) => waker.clone_from(cx.waker()),
                none => *none = Some(cx.waker().clone()),
            }
            Poll::Pending
        });
        let goes_on = panic::catch_unwind(AssertUnwindSafe(|| runtime.block_on(polled)));
        let end = match goes_on {
            Ok(true) => {
                let mut seat = self.lock();
                seat.engine = Some(engine);
                if seat.wanted {
                    self.moved.notify_all();
                }
                return true;
            }
            Ok(false) => Ok(()),
            Err(panic) => Err(panic),
        };
        let Engine { work, runtime, tell } = engine;
        {
            let _context = runtime.enter();
            drop(work);
        }
        // All connections are closed when it is told.
        runtime.shutdown_background();
        let chores = {
            let mut seat = self.lock();
            seat.ended = true;
            mem::take(&mut seat.chores)
        };
        self.moved.notify_all();
        self.busy.wake();
        let _ = tell.send(end);
        // With code of the user's that will not be run, and that may have destructors.
        drop(chores);
        false
    }

    /// Does what the engine's turn left to do. `false` when the thread was left behind meanwhile.
    fn do_chores(&self, number: u64, watch: &Watch, runs: &mut ByKey<Run>) -> bool {
        self.busy.begin();
        // What the substitute adds meanwhile comes after the next turn here: the engine is to come back.
        let count = self.lock().chores.len();
        for _ in 0..count {
            let Some(chore) = self.next_chore(number) else { return false };
            let done = match chore {
                Chore::Job(job) => {
                    let setup = self.setup.get().expect("jobs come from an engine that has furnished its home");
                    let run = (job.key().clone(), job.generation());
                    let report = watch.during(Some(run), || run_safely(job, runs, setup));
                    report.map(|report| report.into_iter().for_each(|report| drop(setup.reports.send(report))))
                }
                Chore::Call(call) => watch.during(None, || {
                    if let Err(panic) = catch(call) {
                        tracing::error!(panic, "code that a step or an activity left behind panicked");
                    }
                }),
            };
            if done.is_none() {
                return false;
            }
        }
        let seat = self.lock();
        // Otherwise another thread is the home, and busy perhaps.
        let still = seat.number == number;
        if still {
            self.busy.end();
        }
        still
    }

    /// The next one, left in its place until then: steps are not lost with the thread that was to do them.
    fn next_chore(&self, number: u64) -> Option<Chore> {
        let mut seat = self.lock();
        if seat.number == number && !seat.ended { seat.chores.pop_front() } else { None }
    }

    /// What the substitute does.
    fn substitute(self: &Arc<Self>) {
        self.busy.look_here();
        while self.busy.wait_until_long(|| self.lock().ended) {
            let mut seat = self.lock();
            let Some(engine) = seat.engine.take_if(|_| self.busy.is_long()) else { continue };
            drop(seat);
            if !self.turn(engine, Who::Substitute) {
                return;
            }
        }
    }

    fn lock(&self) -> MutexGuard<'_, Seat> {
        // A seat is whole at any time.
        self.seat.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl fmt::Debug for Home {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Home").finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use std::sync::mpsc as blocking;

    use tokio::{sync::mpsc, time::timeout};

    use super::*;

    const DEADLINE: Duration = Duration::from_secs(30);

    /// What is there until it is dropped.
    struct Alive(#[expect(dead_code, reason = "it tells by being dropped")] mpsc::Sender<()>);

    fn call(code: impl FnOnce() + Send + 'static) -> Chore {
        Chore::Call(Box::new(code))
    }

    #[tokio::test]
    async fn code_that_holds_the_thread_does_not_keep_the_engine() {
        let home = Home::new();
        let engine = Arc::clone(&home);
        let work = async move {
            let (end, ends) = blocking::channel();
            let (ended, mut has_ended) = mpsc::channel(1);
            engine.add(call(move || {
                let at_end = ends.recv_timeout(DEADLINE);
                let _ = ended.try_send(at_end);
            }));
            // The first time that this is polled again is while the call lasts.
            tokio::task::yield_now().await;
            let during = thread::current().name().map(str::to_owned);
            end.send(()).unwrap();
            assert_eq!(has_ended.recv().await, Some(Ok(())));
            while thread::current().name() != Some("highwater-engine") {
                tokio::task::yield_now().await;
            }
            during
        };
        let during = timeout(DEADLINE, home.host(work)).await.expect("the engine comes back to its thread").unwrap();
        assert_eq!(during.as_deref(), Some("highwater-substitute"));
    }

    #[tokio::test]
    async fn a_call_that_blocks_leaves_the_thread_to_others() {
        let home = Home::new();
        let engine = Arc::clone(&home);
        let work = async move {
            let (end, ends) = blocking::channel::<()>();
            let (tell, mut told) = mpsc::channel(2);
            let last = tell.clone();
            engine.add(call(move || {
                let _ = ends.recv_timeout(DEADLINE);
                let _ = last.try_send("the first");
            }));
            engine.add(call(move || {
                let _ = tell.try_send("the second");
            }));
            let second = told.recv().await;
            drop(end);
            (second, told.recv().await)
        };
        let order = timeout(DEADLINE, home.host(work)).await.expect("both calls end").unwrap();
        assert_eq!(order, (Some("the second"), Some("the first")), "what the first call began ends where it began");
    }

    #[tokio::test]
    async fn a_call_that_panics_takes_no_thread_along() {
        let home = Home::new();
        let engine = Arc::clone(&home);
        let work = async move {
            let (tell, mut told) = mpsc::channel(2);
            let (first, last) = (tell.clone(), tell);
            engine.add(call(move || {
                let _ = first.try_send(thread::current().id());
                panic!("not the engine's fault");
            }));
            engine.add(call(move || {
                let _ = last.try_send(thread::current().id());
            }));
            (told.recv().await, told.recv().await)
        };
        let (before, after) = timeout(DEADLINE, home.host(work)).await.expect("both calls end").unwrap();
        assert_eq!(before, after);
    }

    #[tokio::test]
    async fn an_engine_that_nobody_waits_for_ends() {
        let (alive, mut dropped) = mpsc::channel(1);
        let (end, ends) = blocking::channel::<()>();
        let home = Home::new();
        let engine = Arc::clone(&home);
        let (begun, mut has_begun) = mpsc::channel(1);
        let work = async move {
            let _alive = Alive(alive);
            engine.add(call(move || {
                let _ = begun.try_send(());
                let _ = ends.recv_timeout(DEADLINE);
            }));
            std::future::pending::<()>().await;
        };
        {
            let mut hosted = Box::pin(home.host(work));
            tokio::select! {
                _ = &mut hosted => unreachable!("it never ends by itself"),
                begun = has_begun.recv() => assert_eq!(begun, Some(())),
            }
        }
        let gone = timeout(DEADLINE, dropped.recv()).await.expect("it ends though code holds its thread");
        assert_eq!(gone, None);
        drop(end);
    }

    #[tokio::test]
    async fn a_panic_of_the_engine_is_that_of_whoever_waits() {
        let hosted = tokio::spawn(Home::new().host(async { panic!("a bug") }));
        let ended: Result<io::Result<()>, _> = timeout(DEADLINE, hosted).await.expect("it ends");
        assert!(ended.unwrap_err().is_panic());
    }
}
