//! Values given on the command line.

use std::io::Read;

use clap::Args;
use highwater_protocol::{Payload, RunId};

use serde_json::Value;

use crate::exit::Error;

/// The value of an argument, as JSON.
#[derive(Debug, Args)]
pub(crate) struct Input {
    /// JSON, or @FILE to read it from a file, or - to read it from stdin
    #[arg(long, value_name = "JSON", default_value = "null", hide_default_value = true, allow_negative_numbers = true)]
    input: String,
}

impl Input {
    /// Reads and checks it, so that nothing is sent that a workflow could not read.
    pub(crate) fn read(&self) -> Result<Payload, Error> {
        let (text, origin) = match self.input.as_str() {
            "-" => (stdin()?, "the input from stdin".to_owned()),
            given => match given.strip_prefix('@') {
                Some(path) => {
                    let text = std::fs::read(path)
                        .map_err(|error| Error::usage(format_args!("cannot read the input file {path:?}: {error}")))?;
                    (text, format!("the input file {path:?}"))
                }
                None => (given.as_bytes().to_vec(), "--input".to_owned()),
            },
        };
        let payload = Payload::json(text);
        match serde_json::from_slice::<Value>(&payload.data) {
            Ok(_) => Ok(payload),
            Err(error) => Err(Error::usage(format_args!(
                "{origin} is not JSON: {error}; it begins {:?}. A text needs quotes of its own: --input '\"text\"'",
                payload.begin()
            ))),
        }
    }
}

fn stdin() -> Result<Vec<u8>, Error> {
    let mut text = Vec::new();
    std::io::stdin()
        .read_to_end(&mut text)
        .map_err(|error| Error::usage(format_args!("cannot read the input from stdin: {error}")))?;
    Ok(text)
}

/// Which workflow, and which run of it.
#[derive(Debug, Args)]
pub(crate) struct Target {
    /// Workflow id
    pub(crate) id: String,
    /// This run only; the latest one otherwise
    #[arg(long, value_name = "RUN")]
    pub(crate) run: Option<RunId>,
}

impl Target {
    /// A handle of the workflow.
    pub(crate) fn handle(
        &self,
        client: &highwater_client::Client,
    ) -> Result<highwater_client::WorkflowHandle<highwater_client::Untyped>, Error> {
        let handle = client.handle_by_name(self.id.as_str())?;
        Ok(match self.run {
            Some(run) => handle.pinned_to(run),
            None => handle,
        })
    }
}
