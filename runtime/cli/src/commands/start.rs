use std::time::Duration;

use clap::{Args, ValueEnum};
use highwater_client::{IdConflict, IdReuse, start::DEFAULT_QUEUE};
use highwater_protocol::{RetryPolicy, event::AttributeValue};
use serde_json::{Value, json};

use crate::{commands::result, exit::Error, globals::Globals, input::Input, output::clean};

/// Start a workflow
///
/// No worker has to be alive: the workflow begins as soon as one is that serves the queue.
#[derive(Debug, Args)]
pub(crate) struct Start {
    /// Workflow type
    #[arg(value_name = "TYPE")]
    workflow_type: String,
    /// Queue whose workers run it
    #[arg(long, default_value = DEFAULT_QUEUE)]
    queue: String,
    /// Workflow id; a generated one otherwise
    #[arg(long)]
    id: Option<String>,
    #[command(flatten)]
    input: Input,
    /// Longest time the run may take, such as 30s, 10m or 2days
    #[arg(long, value_name = "TIME", value_parser = humantime::parse_duration)]
    run_timeout: Option<Duration>,
    /// Longest time that the run and all that follow it may take together
    #[arg(long, value_name = "TIME", value_parser = humantime::parse_duration)]
    execution_timeout: Option<Duration>,
    /// Time before the workflow begins
    #[arg(long, value_name = "TIME", value_parser = humantime::parse_duration)]
    delay: Option<Duration>,
    /// Most attempts when the workflow fails; 0 for as many as it takes
    #[arg(long, value_name = "ATTEMPTS")]
    retry: Option<u32>,
    /// Note for people and for the workflow, such as --memo from=\"Ann\"; may be given several times
    #[arg(long, value_name = "NAME=JSON", value_parser = pair)]
    memo: Vec<(String, Value)>,
    /// What the workflow can be found by, such as --attribute customer=17; may be given several times
    #[arg(long, value_name = "NAME=JSON", value_parser = pair)]
    attribute: Vec<(String, Value)>,
    /// Signal to send along: to the run there is, or to the new one; may be given several times
    #[arg(long, value_name = "NAME[=JSON]", value_parser = signal)]
    signal: Vec<(String, Value)>,
    /// May an id be used again whose run has ended?
    #[arg(long, value_enum, default_value = "reject")]
    id_reuse: Reuse,
    /// What if a run of the id goes on?
    #[arg(long, value_enum, default_value = "fail")]
    id_conflict: Conflict,
    /// Wait for the result and print it
    #[arg(long)]
    wait: bool,
    /// Longest time to wait for the result
    #[arg(long, value_name = "TIME", requires = "wait", value_parser = humantime::parse_duration)]
    timeout: Option<Duration>,
}

#[derive(Clone, Copy, Debug, ValueEnum)]
enum Reuse {
    /// No
    Reject,
    /// Yes
    Allow,
    /// Yes, unless it completed
    AllowIfFailed,
}

#[derive(Clone, Copy, Debug, ValueEnum)]
enum Conflict {
    /// The start fails
    Fail,
    /// That run is the answer
    UseExisting,
    /// That run is terminated
    TerminateExisting,
}

impl From<Reuse> for IdReuse {
    fn from(reuse: Reuse) -> Self {
        match reuse {
            Reuse::Reject => Self::Reject,
            Reuse::Allow => Self::Allow,
            Reuse::AllowIfFailed => Self::AllowIfFailed,
        }
    }
}

impl From<Conflict> for IdConflict {
    fn from(conflict: Conflict) -> Self {
        match conflict {
            Conflict::Fail => Self::Fail,
            Conflict::UseExisting => Self::UseExisting,
            Conflict::TerminateExisting => Self::TerminateExisting,
        }
    }
}

impl Start {
    pub(crate) async fn run(self, globals: &Globals) -> Result<(), Error> {
        let input = self.input.read()?;
        let client = globals.client().await?;
        let mut start = client
            .start_by_name(self.workflow_type, input)
            .queue(self.queue)
            .id_reuse(self.id_reuse.into())
            .id_conflict(self.id_conflict.into());
        if let Some(id) = self.id {
            start = start.id(id);
        }
        if let Some(timeout) = self.run_timeout {
            start = start.run_timeout(timeout);
        }
        if let Some(timeout) = self.execution_timeout {
            start = start.execution_timeout(timeout);
        }
        if let Some(delay) = self.delay {
            start = start.delay(delay);
        }
        if let Some(maximum_attempts) = self.retry {
            start = start.retry(RetryPolicy { maximum_attempts, ..RetryPolicy::default() });
        }
        for (name, value) in self.memo {
            start = start.memo(name, &value);
        }
        for (name, value) in self.attribute {
            start = start.attribute(name, attribute(value)?);
        }
        for (name, value) in self.signal {
            start = start.with_signal_named(name, &value);
        }
        let handle = start.await?;
        if self.wait {
            return result::wait(globals, &handle, self.timeout).await;
        }
        let run = handle.run_id().map(|run| run.to_string());
        globals.printer().print(
            || format!("{} (run {})", clean(handle.id().as_str()), run.as_deref().unwrap_or("unknown")),
            || json!({ "id": handle.id(), "run": run }),
        )
    }
}

/// A name and a value. What is no JSON is a text.
#[allow(clippy::unnecessary_wraps, reason = "the signature of a parser")]
fn signal(text: &str) -> Result<(String, Value), String> {
    let (name, value) = text.split_once('=').unwrap_or((text, "null"));
    let value = serde_json::from_str(value).unwrap_or_else(|_| Value::String(value.to_owned()));
    Ok((name.to_owned(), value))
}

/// The same, with a value in any case.
fn pair(text: &str) -> Result<(String, Value), String> {
    if text.contains('=') { signal(text) } else { Err("a name and a value with '=' in between are needed".to_owned()) }
}

/// What can be searched for.
fn attribute(value: Value) -> Result<AttributeValue, Error> {
    serde_json::from_value(value)
        .map_err(|_| Error::usage("an attribute is a text, a number, true, false or a list of texts"))
}
