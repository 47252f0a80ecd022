use clap::Args;

use crate::{commands::signal::print_delivered, exit::Error, globals::Globals, input::Target};

/// End a workflow at once, whether or not a worker is alive; its code sees nothing of it
#[derive(Debug, Args)]
pub(crate) struct Terminate {
    #[command(flatten)]
    target: Target,
    /// Why, for people
    #[arg(long, default_value = "")]
    reason: String,
}

impl Terminate {
    pub(crate) async fn run(self, globals: &Globals) -> Result<(), Error> {
        let client = globals.client().await?;
        let delivered = self.target.handle(&client)?.terminate(self.reason).await?;
        print_delivered(globals, delivered, "the workflow is terminated")
    }
}
