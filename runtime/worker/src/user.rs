//! The async runtime of the user's, where his async code runs: steps and activities.
//!
//! Most of those that are quick end when they are polled for the first time, and waking another thread for that takes longer
//! than they do. So code of a name that has shown to be quick is polled once on the engine's thread; what does not end
//! then goes on on the user's runtime, where all other code begins.

use std::{
    collections::HashMap,
    future::poll_fn,
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
/// So many in a row have to be quick.
const QUICK_RUN: u32 = 8;
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

/// How many times in a row the code of a name was quick.
#[derive(Debug, Default)]
struct Pace(AtomicU32);

impl Pace {
    fn is_quick(&self) -> bool {
        self.0.load(Ordering::Relaxed) >= QUICK_RUN
    }

    fn note(&self, took: Duration) {
        if took > QUICK_MAX {
            self.0.store(0, Ordering::Relaxed);
        } else if !self.is_quick() {
            self.0.fetch_add(1, Ordering::Relaxed);
        }
    }

    /// Polls work for the first time. Returns whether it has ended.
    fn poll(&self, work: &mut Work, cx: &mut Context<'_>) -> bool {
        let begun = Instant::now();
        let ended = work.as_mut().poll(cx).is_ready();
        self.note(begun.elapsed());
        ended
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
        match &self.home {
            Some(home) if pace.is_quick() => {
                let user = self.handle.clone();
                home.add(Chore::Call(Box::new(move || {
                    let _user = user.enter();
                    if !pace.poll(&mut work, &mut Context::from_waker(Waker::noop())) {
                        // It is polled again there, and leaves its waker then.
                        user.spawn(work);
                    }
                })));
            }
            _ => {
                self.handle.spawn(async move {
                    if !poll_fn(|cx| Poll::Ready(pace.poll(&mut work, cx))).await {
                        work.await;
                    }
                });
            }
        }
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
            while !user.pace(&name).is_quick() {
                user.pace(&name).note(Duration::ZERO);
            }
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

    #[test]
    fn code_is_quick_after_it_was_so_some_times_in_a_row() {
        let pace = Pace::default();
        for _ in 1..QUICK_RUN {
            pace.note(QUICK_MAX);
        }
        assert!(!pace.is_quick());
        pace.note(QUICK_MAX);
        assert!(pace.is_quick());
        pace.note(QUICK_MAX * 2);
        assert!(!pace.is_quick());
    }
}
