//! One machine: made, kept, and given back when it is cancelled.

use highwater::prelude::*;
use serde::{Deserialize, Serialize};

use crate::Cloud;

/// A machine.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Machine {
    /// Its name.
    pub name: String,
    /// What it is for.
    pub kind: Kind,
}

/// What machines are for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Kind {
    /// It keeps data.
    Database,
    /// It serves.
    Server,
}

/// Makes a machine, keeps it until it is cancelled, and gives it back.
#[workflow]
pub async fn machine(ctx: Ctx, machine: Machine) -> Result<(), Exit> {
    let made = ctx.run(Cloud::create, machine.clone()).await;
    if made.is_ok() {
        ctx.cancelled().await;
    }
    // Given back even if it is not known whether it was made: that does no harm. It must go on although the run is
    // cancelled.
    ctx.shielded().run(Cloud::delete, machine).await?;
    made?;
    Err(Exit::Cancelled)
}
