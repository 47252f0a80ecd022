use clap::Args;
use serde_json::json;

use crate::{
    exit::Error,
    globals::Globals,
    input::{Input, Target},
    output::{clean, payload_text, payload_value},
};

/// Send an update to a workflow and print its result
///
/// It waits until a worker has done it. The same update id sent again is the same update.
#[derive(Debug, Args)]
pub(crate) struct Update {
    #[command(flatten)]
    target: Target,
    /// Name of the update
    name: String,
    #[command(flatten)]
    input: Input,
    /// What the update is called; a generated id otherwise
    #[arg(long = "update-id", value_name = "ID")]
    called: Option<String>,
    /// Wait only until the workflow has accepted it
    #[arg(long)]
    accepted: bool,
}

impl Update {
    pub(crate) async fn run(self, globals: &Globals) -> Result<(), Error> {
        let input = self.input.read()?;
        let client = globals.client().await?;
        let mut update = self.target.handle(&client)?.update_payload(self.name, input);
        if let Some(id) = self.called {
            update = update.id(id);
        }
        let accepted = update.accepted().await?;
        if self.accepted {
            return globals.printer().print(
                || format!("accepted: update {}", clean(accepted.id().as_str())),
                || json!({ "update": accepted.id(), "run": accepted.run_id().map(|run| run.to_string()) }),
            );
        }
        let result = accepted.result().await?;
        globals
            .printer()
            .print(|| payload_text(&result), || json!({ "update": accepted.id(), "result": payload_value(&result) }))
    }
}
