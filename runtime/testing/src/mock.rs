//! Activities that a test plays itself, and what was called.

use std::{
    collections::{BTreeMap, BTreeSet},
    fmt,
    future::Future,
    marker::PhantomData,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicU32, Ordering},
    },
    time::Duration,
};

use highwater_core::{
    activity::{ActivityContext, ActivityName, ActivitySet, Work, decode_input, outcome},
    definition::{ActivityDef, ActivityItem},
    fault::Fault,
};
use highwater_protocol::{Payload, event::Outcome};
use serde::{Serialize, de::DeserializeOwned};
use tokio::{sync::watch, time::sleep};

type Play = dyn Fn(&ActivityContext, &Payload) -> Work + Send + Sync;

/// An activity that a test plays itself: made by [`mock`].
///
/// `I` is what the activity takes, `T` what it gives and `E` how it fails.
pub struct Mock<I, T, E> {
    name: &'static str,
    queue: Option<&'static str>,
    play: Arc<Play>,
    /// Whether no further attempt follows an error.
    judge: fn(&E) -> bool,
    types: PhantomData<fn(I) -> Result<T, E>>,
}

impl<I, T, E> fmt::Debug for Mock<I, T, E> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Mock").field("name", &self.name).finish_non_exhaustive()
    }
}

/// Plays an activity: the closure takes its input and gives what the activity would.
///
/// ```
/// use std::time::Duration;
///
/// use highwater::{prelude::*, testing::mock};
///
/// # struct Shop;
/// #[activities]
/// impl Shop {
///     #[activity(start_to_close = "10s")]
///     pub async fn charge(&self, cents: u64) -> Result<String, String> {
///         # let _ = cents;
///         Err("no bank in a test".into())
///     }
/// }
///
/// let charge = mock(Shop::charge, |cents: u64| async move { Ok(format!("{cents} cents")) })
///     .fails_first(2, || "the bank is busy".to_owned())
///     .takes(Duration::from_secs(3));
/// ```
pub fn mock<P, A, F, Fut>(activity: A, play: F) -> Mock<A::Input, A::Ok, A::Err>
where
    A: ActivityItem<P>,
    A::Input: DeserializeOwned,
    A::Ok: Serialize,
    F: Fn(A::Input) -> Fut + Send + Sync + 'static,
    Fut: Future<Output = Result<A::Ok, A::Err>> + Send + 'static,
{
    mock_with(activity, move |_, input| play(input))
}

/// Plays an activity as [`mock`] does, by a closure that takes the [`ActivityContext`] beside the input: for its
/// attempt, its heartbeats, or to see that it is cancelled.
///
/// ```
/// use highwater::{prelude::*, testing::mock_with};
///
/// #[activity(start_to_close = "1h")]
/// async fn watch(station: String) -> Result<(), String> {
///     Err(format!("there is no {station} in a test"))
/// }
///
/// let watch = mock_with(watch, |context, _| async move {
///     context.cancelled().await;
///     Ok(())
/// });
/// ```
pub fn mock_with<P, A, F, Fut>(activity: A, play: F) -> Mock<A::Input, A::Ok, A::Err>
where
    A: ActivityItem<P>,
    A::Input: DeserializeOwned,
    A::Ok: Serialize,
    F: Fn(ActivityContext, A::Input) -> Fut + Send + Sync + 'static,
    Fut: Future<Output = Result<A::Ok, A::Err>> + Send + 'static,
{
    drop(activity);
    let name = A::DEFAULTS.name;
    let play = move |context: &ActivityContext, input: &Payload| match decode_input(name, input) {
        Ok(input) => {
            let played = play(context.clone(), input);
            Work::Async(Box::pin(async move { outcome(played.await, |error| A::Def::non_retryable(error)) }))
        }
        Err(refused) => ready(refused),
    };
    let judge = |error: &A::Err| A::Def::non_retryable(error);
    Mock { name, queue: A::DEFAULTS.queue, play: Arc::new(play), judge, types: PhantomData }
}

impl<I, T, E> Mock<I, T, E> {
    /// The first `attempts` attempts, of whatever call, fail with this error instead.
    pub fn fails_first(self, attempts: u32, error: impl Fn() -> E + Send + Sync + 'static) -> Self
    where
        E: Fault,
    {
        let begun = AtomicU32::new(0);
        let (inner, judge) = (self.play, self.judge);
        let play = move |context: &ActivityContext, input: &Payload| {
            if begun.fetch_add(1, Ordering::Relaxed) < attempts {
                return ready(outcome::<(), E>(Err(error()), judge));
            }
            inner(context, input)
        };
        Self { play: Arc::new(play), ..self }
    }

    /// Every attempt takes this long, by the virtual clock, before it does what it does.
    pub fn takes(self, time: Duration) -> Self {
        let inner = self.play;
        let play = move |context: &ActivityContext, input: &Payload| match inner(context, input) {
            Work::Async(work) => Work::Async(Box::pin(async move {
                sleep(time).await;
                work.await
            })),
            // A mock is never blocking.
            blocking @ Work::Blocking(_) => blocking,
        };
        Self { play: Arc::new(play), ..self }
    }
}

fn ready(outcome: Outcome) -> Work {
    Work::Async(Box::pin(std::future::ready(outcome)))
}

/// After so many attempts of one call there will be no other end to it.
const ATTEMPTS_MAX: u32 = 1_000;

/// The inputs of all attempts, by the activity's name.
#[derive(Clone, Debug, Default)]
pub(crate) struct Calls {
    inputs: Arc<Mutex<BTreeMap<String, Vec<Payload>>>>,
    runaway: Arc<watch::Sender<Option<String>>>,
}

impl Calls {
    fn lock(&self) -> MutexGuard<'_, BTreeMap<String, Vec<Payload>>> {
        // A map is whole at any time.
        self.inputs.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn note(&self, name: &str, context: &ActivityContext, input: &Payload) {
        self.lock().entry(name.to_owned()).or_default().push(input.clone());
        if context.attempt() >= ATTEMPTS_MAX {
            let last = context.info().last_failure.as_ref().map(ToString::to_string).unwrap_or_default();
            let id = context.info().workflow_id.as_str();
            self.runaway.send_replace(Some(format!(
                "activity {name} of {id:?} has failed {ATTEMPTS_MAX} times and is tried again and again: {last}\nGive it \
                 `retry(maximum_attempts = …)`, or say with `non_retryable = …` which errors are the last word."
            )));
        }
    }

    pub(crate) fn of(&self, name: &str) -> Vec<Payload> {
        self.lock().get(name).cloned().unwrap_or_default()
    }

    /// Waits until an activity is tried without end, and tells of it.
    pub(crate) async fn runaway(&self) -> String {
        let mut runaway = self.runaway.subscribe();
        // The sender is right here.
        let told = runaway.wait_for(Option::is_some).await;
        told.ok().and_then(|told| told.clone()).unwrap_or_default()
    }
}

/// The activities of an environment: the real ones, except those that are mocked, and the mocks.
#[derive(Default)]
pub(crate) struct Activities {
    sets: Vec<Arc<dyn ActivitySet>>,
    mocks: BTreeMap<&'static str, Arc<Play>>,
    /// The queues that mocked activities are called through, beside the run's own.
    pub(crate) queues: BTreeSet<&'static str>,
    pub(crate) calls: Calls,
}

impl fmt::Debug for Activities {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Activities").field("mocks", &self.mocks.keys()).finish_non_exhaustive()
    }
}

impl Activities {
    pub(crate) fn add(&mut self, set: Arc<dyn ActivitySet>) {
        self.sets.push(set);
    }

    /// The last mock of an activity counts.
    pub(crate) fn mock<I, T, E>(&mut self, mock: Mock<I, T, E>) {
        self.queues.extend(mock.queue);
        self.mocks.insert(mock.name, mock.play);
    }

    /// What a worker registers.
    pub(crate) fn sets(&self) -> Vec<impl ActivitySet + use<>> {
        let mocked: Arc<BTreeSet<&'static str>> = Arc::new(self.mocks.keys().copied().collect());
        let real = self.sets.iter().map(|set| Watched {
            set: Arc::clone(set),
            hidden: Arc::clone(&mocked),
            calls: self.calls.clone(),
        });
        let mocks =
            Watched { set: Arc::new(Mocks(self.mocks.clone())), hidden: Arc::default(), calls: self.calls.clone() };
        real.chain([mocks]).collect()
    }
}

/// A set without those of its activities that are mocked, and with a note of every attempt.
struct Watched {
    set: Arc<dyn ActivitySet>,
    hidden: Arc<BTreeSet<&'static str>>,
    calls: Calls,
}

impl ActivitySet for Watched {
    fn activities(&self) -> Vec<ActivityName> {
        let mut names = self.set.activities();
        names.retain(|activity| !self.hidden.contains(activity.name));
        names
    }

    fn dispatch(self: Arc<Self>, name: &str, context: &ActivityContext, input: &Payload) -> Option<Work> {
        let work = Arc::clone(&self.set).dispatch(name, context, input)?;
        self.calls.note(name, context, input);
        Some(work)
    }
}

struct Mocks(BTreeMap<&'static str, Arc<Play>>);

impl ActivitySet for Mocks {
    fn activities(&self) -> Vec<ActivityName> {
        self.0.keys().map(|name| ActivityName { name, function: "a mock of the test's" }).collect()
    }

    fn dispatch(self: Arc<Self>, name: &str, context: &ActivityContext, input: &Payload) -> Option<Work> {
        self.0.get(name).map(|play| play(context, input))
    }
}
