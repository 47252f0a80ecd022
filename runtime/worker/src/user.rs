//! The async runtime of the user's, where his async code runs: steps and activities.
//!
//! Most of those that are quick end when they are polled for the first time, and waking another thread for that takes
//! longer than they do. So code of a name that has shown to be quick is polled once on the engine's thread; what does
//! not end then goes on on the user's runtime, where all other code begins.

use std::{
    collections::HashMap,
    future::poll_fn,
    mem,
    pin::Pin,
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicU32, Ordering},
    },
    task::{Context, Poll, Waker},
    time::{Duration, Instant},
};

use highwater_protocol::TypeName;
use tokio::{runtime::Handle, task::JoinHandle};

use crate::executor::{Chore, Home};

/// Code that takes longer than this until it first awaits something is not quick.
const QUICK_MAX: Duration = Duration::from_micros(200);
/// So many in a row have to be quick, and eight times as many after one that blocked its thread, up to a limit.
const QUICK_RUN: u32 = 8;
const BLOCKS_FROM: Duration = Duration::from_millis(20);
const WANTED_MAX: u32 = 1 << 16;
/// The names that are told apart; code of all further ones does not count as quick.
const NAMES_MAX: usize = 1_024;

type Work = Pin<Box<dyn Future<Output = ()> + Send>>;

/// The user's runtime, as one worker uses it.
#[derive(Debug)]
pub(crate) struct UserRuntime {
    handle: Handle,
    /// Where quick code begins.
    home: Option<Arc<Home>>,
    paces: Mutex<HashMap<TypeName, Arc<Pace>>>,
}

/// Whether the code of a name is quick.
#[derive(Debug)]
struct Pace {
    /// How many times in a row it was.
    quick: AtomicU32,
    /// How many that has to be.
    wanted: AtomicU32,
}

impl Default for Pace {
    fn default() -> Self {
        Self { quick: AtomicU32::new(0), wanted: AtomicU32::new(QUICK_RUN) }
    }
}

impl Pace {
    fn is_quick(&self) -> bool {
        self.quick.load(Ordering::Relaxed) >= self.wanted.load(Ordering::Relaxed)
    }

    /// Polls work for the first time. While that lasts its name does not count as quick, so that it blocks one thread
    /// at most.
    fn poll(&self, work: &mut Work, cx: &mut Context<'_>) -> Poll<()> {
        let before = self.quick.swap(0, Ordering::Relaxed);
        let begun = Instant::now();
        let polled = work.as_mut().poll(cx);
        self.note(before, begun.elapsed());
        polled
    }

    fn note(&self, before: u32, took: Duration) {
        let wanted = self.wanted.load(Ordering::Relaxed);
        if took <= QUICK_MAX {
            let quick = before.saturating_add(1);
            self.quick.store(quick.min(wanted), Ordering::Relaxed);
            if quick == wanted {
                // In time it is trusted again.
                self.wanted.store((wanted / 2).max(QUICK_RUN), Ordering::Relaxed);
            }
        } else {
            self.quick.store(0, Ordering::Relaxed);
            if took > BLOCKS_FROM {
                self.wanted.store(wanted.saturating_mul(8).min(WANTED_MAX), Ordering::Relaxed);
            }
        }
    }
}

impl UserRuntime {
    /// The runtime that polls this.
    pub(crate) fn current(home: Option<Arc<Home>>) -> Arc<Self> {
        Arc::new(Self { handle: Handle::current(), home, paces: Mutex::default() })
    }

    /// Runs async code. Whoever wants to end it early sees to that himself.
    pub(crate) fn spawn(&self, name: &TypeName, work: impl Future<Output = ()> + Send + 'static) {
        let (pace, mut work): (_, Work) = (self.pace(name), Box::pin(work));
        let Some(home) = self.home.as_ref().filter(|_| pace.is_quick()) else {
            return spawn_on(&self.handle, pace, work);
        };
        let user = self.handle.clone();
        home.add(Chore::Call(Box::new(move || {
            if !pace.is_quick() {
                // One that was in front of it was not.
                return spawn_on(&user, pace, work);
            }
            let _user = user.enter();
            if pace.poll(&mut work, &mut Context::from_waker(Waker::noop())).is_pending() {
                // It is polled again there, and leaves its waker then.
                user.spawn(work);
            }
        })));
    }

    /// Runs code that blocks its thread.
    pub(crate) fn spawn_blocking<T: Send + 'static>(&self, code: impl FnOnce() -> T + Send + 'static) -> JoinHandle<T> {
        self.handle.spawn_blocking(code)
    }

    fn pace(&self, name: &TypeName) -> Arc<Pace> {
        // Nothing panics while it holds the lock.
        let mut paces = self.paces.lock().unwrap_or_else(PoisonError::into_inner);
        match paces.get(name) {
            Some(pace) => Arc::clone(pace),
            None if paces.len() >= NAMES_MAX => Arc::default(),
            None => Arc::clone(paces.entry(name.clone()).or_default()),
        }
    }
}

fn spawn_on(user: &Handle, pace: Arc<Pace>, mut work: Work) {
    let mut is_first = true;
    user.spawn(poll_fn(
        move |cx| {
            if mem::take(&mut is_first) { pace.poll(&mut work, cx) } else { work.as_mut().poll(cx) }
        },
    ));
}

#[cfg(test)]
mod tests {
    use std::thread;

    use tokio::{
        sync::{mpsc, oneshot},
        time::timeout,
    };

    use super::*;

    fn thread_name() -> Option<String> {
        thread::current().name().map(str::to_owned)
    }

    #[tokio::test]
    async fn quick_code_begins_on_the_engines_thread_and_goes_on_on_the_users_runtime() {
        let here = thread_name();
        let home = Home::new();
        let user = UserRuntime::current(Some(Arc::clone(&home)));
        let name = TypeName::new("quick").unwrap();
        let work = async move {
            let (tell, mut told) = mpsc::channel(1);
            let mut began_at = None;
            // A machine that is busy may make quick code look slow.
            while began_at.as_deref() != Some("highwater-engine") {
                let tell = tell.clone();
                user.spawn(&name, async move {
                    let _ = tell.try_send(thread_name());
                });
                began_at = told.recv().await.unwrap();
            }
            until_quick(&user.pace(&name));
            let (go_on, goes_on) = oneshot::channel();
            user.spawn(&name, async move {
                // The user's runtime is at hand from the beginning.
                let _ = tell.try_send(Handle::try_current().ok().and_then(|_| thread_name()));
                let _ = goes_on.await;
                let _ = tell.send(thread_name()).await;
            });
            let before = told.recv().await.unwrap();
            go_on.send(()).unwrap();
            (before, told.recv().await.unwrap())
        };
        let (before, after) = timeout(Duration::from_secs(30), home.host(work)).await.expect("it ends").unwrap();
        assert_eq!(before.as_deref(), Some("highwater-engine"));
        assert_eq!(after, here, "the test's own thread is the user's runtime");
    }

    fn note(pace: &Pace, took: Duration) {
        pace.note(pace.quick.load(Ordering::Relaxed), took);
    }

    fn until_quick(pace: &Pace) -> u32 {
        (1..1_000)
            .find(|_| {
                note(pace, QUICK_MAX);
                pace.is_quick()
            })
            .unwrap()
    }

    #[test]
    fn code_is_quick_after_it_was_so_some_times_in_a_row() {
        let pace = Pace::default();
        assert_eq!(until_quick(&pace), QUICK_RUN);
        note(&pace, QUICK_MAX * 2);
        assert!(!pace.is_quick());
        assert_eq!(until_quick(&pace), QUICK_RUN);
        note(&pace, BLOCKS_FROM * 2);
        assert_eq!(until_quick(&pace), QUICK_RUN * 8, "it has blocked its thread");
        note(&pace, QUICK_MAX * 2);
        assert_eq!(until_quick(&pace), QUICK_RUN * 4, "that was long ago");
    }

    #[test]
    fn code_under_way_makes_its_name_wait() {
        let pace = Arc::new(Pace::default());
        until_quick(&pace);
        let within = Arc::clone(&pace);
        let mut work: Work = Box::pin(async move { assert!(!within.is_quick()) });
        let _ = pace.poll(&mut work, &mut Context::from_waker(Waker::noop()));
        assert!(pace.is_quick());
    }
}
