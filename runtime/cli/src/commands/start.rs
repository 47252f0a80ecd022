use std::time::Duration;

use clap::{Args, ValueEnum};
use highwater_client::{IdConflict, IdReuse, start::DEFAULT_QUEUE};
use serde_json::json;

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
