//! What the worker processes run. Every operation leaves lines in the ledger, and can be held up at the gate of its
//! name.

use std::time::Duration;

use highwater::{WorkerBuilder, prelude::*};
use serde::{Deserialize, Serialize};

use super::{PATIENCE, Site, family, process::QUEUE};

/// Registers all of it.
pub fn register(builder: WorkerBuilder, site: Site) -> WorkerBuilder {
    let builder = builder.queue(QUEUE).workflow(order).workflow(tally).workflow(laps).workflow(naps);
    builder.workflow(family::Family::run).workflow(family::helper).activities(Shop { site })
}

/// What an operation called `name` yields: an arbitrary number that a test can compute as well.
pub fn value_of(name: &str) -> u64 {
    u64::from(highwater_protocol::partition::fnv1a32(name.as_bytes()) % 1_000)
}

/// The activities.
#[derive(Debug)]
pub struct Shop {
    site: Site,
}

/// What an activity is to do.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Job {
    /// Its name in the ledger.
    pub name: String,
    /// How long it takes at least.
    pub takes: Duration,
}

#[activities]
impl Shop {
    /// Yields the value of its name.
    #[activity(start_to_close = "2m")]
    pub async fn work(&self, context: &ActivityContext, job: Job) -> Result<u64, String> {
        self.site.perform(&job.name, job.takes, &context.idempotency_key().to_string()).await?;
        Ok(value_of(&job.name))
    }
}

/// A local step that does what [`Shop::work`] does.
async fn step(ctx: &Ctx, job: Job) -> Result<u64, CallError<String>> {
    ctx.step("work", move |step| async move {
        Site::here().perform(&job.name, job.takes, &step.idempotency_key().to_string()).await?;
        Ok(value_of(&job.name))
    })
    .await
}

fn job(name: impl Into<String>) -> Job {
    Job { name: name.into(), takes: Duration::ZERO }
}

/// An order: activity, activity, sleep, activity, step. The operations are called charge, reserve, email and close.
#[workflow]
pub async fn order(ctx: Ctx, sleep: Duration) -> Result<u64, Exit> {
    let charged = ctx.run(Shop::work, job("charge")).await?;
    let reserved = ctx.run(Shop::work, job("reserve")).await?;
    ctx.sleep(sleep).await?;
    let sent = ctx.run(Shop::work, job("email")).await?;
    let closed = step(&ctx, job("close")).await?;
    Ok(charged + reserved + sent + closed)
}

/// What an order yields.
pub fn order_total() -> u64 {
    ["charge", "reserve", "email", "close"].into_iter().map(value_of).sum()
}

/// How much a tally does.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Tally {
    /// Its operations are called `<name> 1` and so on.
    pub name: String,
    /// How many steps there are.
    pub steps: u32,
    /// After each this many steps comes an activity; 0 for none.
    pub activity_every: u32,
    /// How long the longest operation takes.
    pub longest: Duration,
}

impl Tally {
    /// The names of all operations, with whether each is an activity.
    pub fn operations(&self) -> Vec<(String, bool)> {
        let mut operations = Vec::new();
        for number in 1..=self.steps {
            operations.push((format!("{} {number}", self.name), false));
            if self.activity_every > 0 && number % self.activity_every == 0 {
                operations.push((format!("{} after {number}", self.name), true));
            }
        }
        operations
    }

    /// What it yields.
    pub fn total(&self) -> u64 {
        self.operations().iter().map(|(name, _)| value_of(name)).sum()
    }

    fn job(&self, name: String) -> Job {
        let takes = self.longest.mul_f64(value_of(&name) as f64 / 1_000.0);
        Job { name, takes }
    }
}

/// Adds up what many steps and activities yield, one after the other.
#[workflow]
pub async fn tally(ctx: Ctx, tally: Tally) -> Result<u64, Exit> {
    let mut total = 0;
    for (name, is_activity) in tally.operations() {
        let job = tally.job(name);
        total += if is_activity { ctx.run(Shop::work, job).await? } else { step(&ctx, job).await? };
    }
    Ok(total)
}

/// Runs a tally under its name, and checks what it adds up to.
///
/// # Panics
///
/// When it does not, or not within [`PATIENCE`].
pub async fn tally_up(client: Client, plan: Tally) {
    let handle = client.start(tally, plan.clone()).id(&plan.name).queue(QUEUE).await.expect("it starts");
    match handle.result().timeout(PATIENCE).await {
        Ok(result) => assert_eq!(result, plan.total(), "{}", plan.name),
        Err(error) => panic!("{}: {error}\n{:#?}", plan.name, handle.describe().await),
    }
}

/// Runs that follow one another.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Laps {
    /// How many are left, this one included.
    pub left: u32,
    /// What the runs before have added up.
    pub total: u64,
}

/// Does one step, called `lap <how many are left>`, and continues as a new run until no lap is left.
#[workflow]
pub async fn laps(ctx: Ctx, mut race: Laps) -> Result<u64, Exit> {
    race.total += step(&ctx, job(format!("lap {}", race.left))).await?;
    race.left -= 1;
    if race.left > 0 {
        return Err(ctx.continue_as_new::<laps>(race));
    }
    Ok(race.total)
}

/// Sleeps, and tells by how many milliseconds it was late.
#[workflow]
pub async fn naps(ctx: Ctx, sleep: Duration) -> Result<u64, Exit> {
    let due = ctx.now().after(sleep);
    ctx.sleep(sleep).await?;
    step(&ctx, job("woke")).await?;
    Ok(ctx.now().since(due).as_millis() as u64)
}
