use clap::Args;
use highwater_client::Delivered;
use serde_json::json;

use crate::{
    exit::Error,
    globals::Globals,
    input::{Input, Target},
};

/// Send a signal to a workflow
#[derive(Debug, Args)]
pub(crate) struct Signal {
    #[command(flatten)]
    target: Target,
    /// Name of the signal
    name: String,
    #[command(flatten)]
    input: Input,
}

impl Signal {
    pub(crate) async fn run(self, globals: &Globals) -> Result<(), Error> {
        let input = self.input.read()?;
        let client = globals.client().await?;
        let delivered = self.target.handle(&client)?.signal_payload(self.name, input).await?;
        print_delivered(globals, delivered, "the workflow has it")
    }
}

/// Tells how far a request got.
pub(super) fn print_delivered(globals: &Globals, delivered: Delivered, accepted: &str) -> Result<(), Error> {
    let word = match delivered {
        Delivered::Accepted => "accepted",
        Delivered::Durable => "durable",
    };
    globals.printer().print(
        || match delivered {
            Delivered::Accepted => format!("accepted: {accepted}"),
            Delivered::Durable => "durable: it is stored, and no worker has taken it yet; the next one will".into(),
        },
        || json!({ "delivered": word }),
    )
}
