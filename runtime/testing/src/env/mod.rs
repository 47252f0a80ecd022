//! The environment of a test.

mod builder;
mod clock;
mod guard;
mod worker;

use std::{fmt, sync::Arc, thread, time::Duration};

use highwater_broker::memory::{Faults, MemoryBroker};
use highwater_client::Client;
use highwater_core::{definition::ActivityItem, run::Registry};
use highwater_protocol::{Timestamp, WorkflowId};
use serde::de::DeserializeOwned;
use tokio::time::sleep;

pub use builder::TestEnvBuilder;
pub use clock::{HeldTime, hold_time};

use crate::{History, mock::Calls};
use guard::{Guard, Horizon};
use worker::Workers;

/// Enough time for everything that needs none.
const MOMENT: Duration = Duration::from_millis(1);

/// Workflows and activities in this process, on a broker in memory, by a clock that skips what nobody needs.
///
/// Everything of a test runs in one thread, and time passes only while all of it waits: then the clock goes to the next
/// thing that is due, and no further. Who waits for the world outside has to say so, with [`hold_time`].
///
/// The test fails at the end, by [`finish`](Self::finish) or when the environment is dropped, if a history does not fit
/// the code when it is replayed once more. When the test fails, the histories of all runs are printed.
///
/// ```
/// # tokio::runtime::Builder::new_current_thread().enable_time().build().unwrap().block_on(async {
/// use std::time::Duration;
///
/// use highwater::{prelude::*, testing::TestEnv};
///
/// #[workflow]
/// pub async fn nap(ctx: Ctx, days: u64) -> Result<u64, Exit> {
///     ctx.sleep(Duration::from_hours(24 * days)).await?;
///     Ok(days)
/// }
///
/// let env = TestEnv::builder().workflow(nap).start().await;
/// let before = env.now();
/// let run = env.client().start(nap, 5).id("nap-1").await.unwrap();
/// assert_eq!(run.result().await.unwrap(), 5);
/// assert!(env.now().since(before) >= Duration::from_hours(24 * 5));
/// env.finish().await;
/// # });
/// ```
pub struct TestEnv {
    broker: MemoryBroker,
    client: Client,
    workers: Workers,
    registry: Arc<Registry>,
    calls: Calls,
    horizon: Horizon,
    failures_allowed: bool,
    finished: bool,
    _guard: Guard,
}

impl fmt::Debug for TestEnv {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("TestEnv").field("now", &self.now()).finish_non_exhaustive()
    }
}

impl TestEnv {
    /// Begins to put an environment together.
    pub fn builder() -> TestEnvBuilder {
        TestEnvBuilder::new()
    }

    fn new(
        broker: MemoryBroker,
        client: Client,
        workers: Workers,
        registry: Arc<Registry>,
        calls: Calls,
        failures_allowed: bool,
    ) -> Self {
        let horizon = Horizon::new();
        let guard = Guard::new(&broker, &registry, calls.clone(), horizon.clone(), failures_allowed);
        Self { broker, client, workers, registry, calls, horizon, failures_allowed, finished: false, _guard: guard }
    }

    /// The client: the one of production, on the broker in memory.
    pub fn client(&self) -> Client {
        self.client.clone()
    }

    /// What the broker's clock shows.
    pub fn now(&self) -> Timestamp {
        self.broker.now()
    }

    /// Lets time pass. Everything that is due by then has happened when this returns, in order.
    ///
    /// The clock is a millisecond further then: what happens at the very end takes no time, and this waits for it.
    pub async fn sleep(&self, time: Duration) {
        self.horizon.extend(time);
        sleep(time).await;
        self.settle().await;
    }

    /// Lets time pass until the clock shows `at`, and everything that is due by then has happened. Returns at once when
    /// it does already.
    pub async fn sleep_until(&self, at: Timestamp) {
        self.sleep(at.since(self.now())).await;
    }

    /// Waits until nothing can run without time passing.
    pub async fn settle(&self) {
        sleep(MOMENT).await;
        if let Some(reason) = self.broker.given_up() {
            panic!("{reason}");
        }
    }

    /// The inputs of all attempts of an activity so far, real or mocked, in the order in which they began:
    /// `env.calls(Shop::charge)`.
    ///
    /// # Panics
    ///
    /// When an input is not what the activity takes now.
    pub fn calls<P, A>(&self, activity: A) -> Vec<A::Input>
    where
        A: ActivityItem<P>,
        A::Input: DeserializeOwned,
    {
        drop(activity);
        let name = A::DEFAULTS.name;
        let decode = |(input, number): (highwater_protocol::Payload, usize)| {
            input.decode().unwrap_or_else(|error| panic!("the input of attempt {number} of activity {name}: {error}"))
        };
        self.calls.of(name).into_iter().zip(1..).map(decode).collect()
    }

    /// The histories of all runs so far, in the order in which they began.
    pub fn histories(&self) -> Vec<History> {
        History::of_messages(self.broker.messages(highwater_broker::Stream::History))
    }

    /// Drops a run from memory, so that it is rebuilt from its history at its next event. It matters with
    /// [`keep_runs`](TestEnvBuilder::keep_runs) only: otherwise that happens after every step.
    ///
    /// # Panics
    ///
    /// When `id` cannot be a workflow id.
    pub async fn evict(&self, id: &str) {
        let id = WorkflowId::new(id).unwrap_or_else(|error| panic!("{error}"));
        self.settle().await;
        self.workers.evict(&id);
        self.settle().await;
    }

    /// Has the worker crash in the middle of whatever it does, and starts another one. An activity that was running is
    /// lost; its task comes again after ten seconds.
    pub async fn restart_worker(&self) {
        self.workers.crash().await;
        self.workers.start();
    }

    /// Stops the worker in good order. Requests wait until there is one again.
    pub async fn stop_worker(&self) {
        self.workers.stop().await;
    }

    /// Starts a worker, if none runs.
    pub fn start_worker(&self) {
        self.workers.start();
    }

    /// What can go wrong with the broker.
    pub fn faults(&self) -> Faults {
        self.broker.faults()
    }

    /// Ends the test: stops the worker and replays every history once more against the code.
    ///
    /// # Panics
    ///
    /// When a history does not fit the code, or workflow code could not go on.
    pub async fn finish(mut self) {
        self.workers.stop().await;
        self.check();
    }

    #[track_caller]
    fn check(&mut self) {
        self.finished = true;
        let faults = guard::faults(&self.broker, &self.registry, self.failures_allowed);
        if !faults.is_empty() {
            let texts: Vec<_> = faults.iter().map(|(history, text)| format!("{text}\n\n{history}")).collect();
            panic!("{}", texts.join("\n\n"));
        }
    }
}

impl Drop for TestEnv {
    fn drop(&mut self) {
        if thread::panicking() {
            eprintln!("{}", guard::print(&self.broker));
        } else if !self.finished {
            self.check();
        }
    }
}
