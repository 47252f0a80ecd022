use clap::Args;
use serde_json::json;

use crate::{
    exit::Error,
    globals::Globals,
    input::{Input, Target},
    output::{payload_text, payload_value},
};

/// Ask a workflow for something; a worker that serves its queue must be alive
#[derive(Debug, Args)]
pub(crate) struct Query {
    #[command(flatten)]
    target: Target,
    /// Name of the query
    name: String,
    #[command(flatten)]
    input: Input,
}

impl Query {
    pub(crate) async fn run(self, globals: &Globals) -> Result<(), Error> {
        let input = self.input.read()?;
        let client = globals.client().await?;
        let answer = self.target.handle(&client)?.query_payload(self.name, input).await?;
        globals.printer().print(|| payload_text(&answer), || json!({ "answer": payload_value(&answer) }))
    }
}
