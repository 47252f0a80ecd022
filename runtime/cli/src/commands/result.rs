use std::time::Duration;

use clap::Args;
use highwater_client::{ResultError, Untyped, WorkflowHandle};
use highwater_protocol::Failure;
use serde_json::{Value, json};

use crate::{
    event::failure_value,
    exit::{Error, Exit},
    globals::Globals,
    input::Target,
    output::{payload_text, payload_value},
};

/// Wait for a workflow to end and print its result
#[derive(Debug, Args)]
pub(crate) struct ResultOf {
    #[command(flatten)]
    target: Target,
    /// Longest time to wait, such as 30s or 10m
    #[arg(long, value_name = "TIME", value_parser = humantime::parse_duration)]
    timeout: Option<Duration>,
}

impl ResultOf {
    pub(crate) async fn run(self, globals: &Globals) -> Result<(), Error> {
        let client = globals.client().await?;
        wait(globals, &self.target.handle(&client)?, self.timeout).await
    }
}

/// Waits for a result and prints it. In JSON, other ends are printed as well.
pub(super) async fn wait(
    globals: &Globals,
    handle: &WorkflowHandle<Untyped>,
    timeout: Option<Duration>,
) -> Result<(), Error> {
    let mut result = handle.result();
    if let Some(timeout) = timeout {
        result = result.timeout(timeout);
    }
    match result.await {
        Ok(result) => globals.printer().print(
            || payload_text(&result),
            || json!({ "id": handle.id(), "status": "completed", "result": payload_value(&result) }),
        ),
        Err(error) if error.is_outcome() => {
            let (status, failure) = end(&error);
            globals.printer().print_json_only(|| json!({ "id": handle.id(), "status": status, "failure": failure }))?;
            Err(Error::new(Exit::RunFailed, error))
        }
        Err(error @ ResultError::NotFound { .. }) => Err(Error::new(Exit::NotFound, error)),
        Err(error) => Err(Error::failed(error)),
    }
}

fn end(error: &ResultError<Failure>) -> (&'static str, Value) {
    let message = json!({ "message": error.to_string() });
    match error {
        ResultError::Cancelled => ("cancelled", message),
        ResultError::Terminated(reason) => ("terminated", json!({ "message": reason })),
        ResultError::TimedOut => ("timed-out", message),
        ResultError::Failed(failure) | ResultError::FailedOtherwise(failure) => ("failed", failure_value(failure)),
        _ => ("unknown", message),
    }
}
