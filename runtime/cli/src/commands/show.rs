use clap::Args;
use serde_json::Value;

use crate::{event, exit::Error, globals::Globals, input::Target, output::width};

/// Show the history of a workflow, one line an event
#[derive(Debug, Args)]
pub(crate) struct Show {
    #[command(flatten)]
    target: Target,
    /// Do not cut lines to the width of the terminal
    #[arg(long)]
    full: bool,
}

impl Show {
    pub(crate) async fn run(self, globals: &Globals) -> Result<(), Error> {
        let client = globals.client().await?;
        let history = self.target.handle(&client)?.history().await?;
        globals.printer().print(
            || event::lines(&history, (!self.full).then(width)),
            || Value::Array(history.iter().map(event::value).collect()),
        )
    }
}
