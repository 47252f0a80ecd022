//! How much is asked of the engine, and for how long.

use std::time::Duration;

use clap::{Args, builder::RangedU64ValueParser};
use highwater_protocol::namespace::Settings;
use serde_json::{Value, json};

use super::sizes::Sizes;

/// The most units of work that may be under way at once.
const CONCURRENCY_MAX: u64 = 65_536;
/// The most threads for workflow code.
const THREADS_MAX: u64 = 1_024;
/// The shortest and the longest time for a row.
const DURATION_MIN: Duration = Duration::from_millis(50);
const DURATION_MAX: Duration = Duration::from_hours(1);

/// What rows are measured with.
#[derive(Clone, Debug, Args)]
pub(crate) struct Load {
    /// How many runs are under way at once, in rows from no-op to payload-64k
    #[arg(
        long,
        value_delimiter = ',',
        value_name = "N",
        value_parser = RangedU64ValueParser::<usize>::new().range(1..=CONCURRENCY_MAX),
        default_values_t = [1, 64, 512]
    )]
    pub(crate) concurrency: Vec<usize>,
    /// How long a row is measured, at each concurrency
    #[arg(long, value_parser = duration, default_value = "5s")]
    pub(crate) duration: Duration,
    /// Threads of its own that workflow code has [default: none, it runs on the worker's thread]
    #[arg(long, value_parser = RangedU64ValueParser::<usize>::new().range(1..=THREADS_MAX))]
    pub(crate) threads: Option<usize>,
    /// How long the worker's thread may stay awake for what is about to come, 0s for never [default: as in every
    /// worker]
    #[arg(long, value_parser = humantime::parse_duration, value_name = "DURATION")]
    pub(crate) busy_poll: Option<Duration>,
    #[command(flatten)]
    pub(crate) sizes: Sizes,
}

impl Load {
    /// For programs. What was left to the engine is null.
    pub(super) fn json(&self) -> Value {
        json!({
            "concurrency": self.concurrency,
            "duration_seconds": self.duration.as_secs_f64(),
            "workflow_threads": self.threads,
            "busy_poll_seconds": self.busy_poll.map(|window| window.as_secs_f64()),
            "sizes": self.sizes.json(),
        })
    }
}

/// What kind of server is measured.
#[derive(Clone, Copy, Debug, Args)]
pub(crate) struct Nature {
    /// How many copies NATS keeps of everything: 1, 3 or 5. Private servers are as many, in a cluster
    #[arg(long, value_parser = replicas, value_name = "N")]
    pub(crate) replicas: Option<u8>,
    /// Have the private server write through to the disk before it acknowledges anything
    #[arg(long)]
    pub(crate) sync_always: bool,
    /// Have the engine store what it publishes at the same time by one write to the disk; the pattern does not
    #[arg(long)]
    pub(crate) group_commit: bool,
}

impl Nature {
    /// The settings of a namespace that is made for the bench, where nothing else is asked for than is in these.
    pub(super) fn settings(self, settings: Settings) -> Settings {
        Settings {
            replicas: self.replicas.unwrap_or(settings.replicas),
            group_commit: self.group_commit || settings.group_commit,
            ..settings
        }
    }
}

fn replicas(text: &str) -> Result<u8, String> {
    let replicas = text.parse().map_err(|_| "it is a number".to_owned())?;
    let settings = Settings { replicas, ..Settings::default() };
    settings.check().map_err(|error| error.to_string())?;
    Ok(replicas)
}

fn duration(text: &str) -> Result<Duration, String> {
    let duration = humantime::parse_duration(text).map_err(|error| error.to_string())?;
    if (DURATION_MIN..=DURATION_MAX).contains(&duration) {
        return Ok(duration);
    }
    let [min, max] = [DURATION_MIN, DURATION_MAX].map(humantime::format_duration);
    Err(format!("a row is measured for {min} at least and {max} at most"))
}
