use clap::Args;

use crate::{commands::signal::print_delivered, exit::Error, globals::Globals, input::Target};

/// Ask a workflow to cancel itself; its code may clean up
#[derive(Debug, Args)]
pub(crate) struct Cancel {
    #[command(flatten)]
    target: Target,
    /// Why, for people
    #[arg(long, default_value = "")]
    reason: String,
}

impl Cancel {
    pub(crate) async fn run(self, globals: &Globals) -> Result<(), Error> {
        let client = globals.client().await?;
        let delivered = self.target.handle(&client)?.cancel(self.reason).await?;
        print_delivered(globals, delivered, "the workflow has been asked; `highwater result` tells how it ends")
    }
}
