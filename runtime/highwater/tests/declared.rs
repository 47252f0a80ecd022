//! Workflows whose code is in another process: declared here, so that they can be started and called with their types.

use highwater::{Workflow, WorkflowItem, prelude::*};
use serde::{Deserialize, Serialize};

#[derive(Debug, Serialize, Deserialize)]
struct Parcel {
    to: String,
}

#[derive(Debug, Serialize, Deserialize, thiserror::Error)]
enum ShipError {
    #[error("nobody lives there")]
    NoAddress,
}

type Shipped = Result<u64, Exit<ShipError>>;

/// Takes a parcel along.
#[workflow(name = "ship-parcel")]
async fn ship(ctx: Ctx, parcel: Parcel) -> Shipped;

#[workflow]
async fn sweep(ctx: Ctx) -> Result<(), String>;

mod depot {
    use highwater::prelude::*;

    use super::{Parcel, ShipError, Shipped};

    /// What stands in the depot.
    #[workflow(name = "depot", handle = DepotClient)]
    pub(super) trait Depot {
        /// Opens it.
        #[run]
        async fn run(ctx: Ctx<Self>, parcel: Parcel) -> Shipped;

        #[signal]
        fn hold(&mut self, reason: String);

        #[signal(unfinished = "abandon")]
        async fn reroute(ctx: Ctx<Self>, to: String);

        #[query]
        fn place(&self) -> &str;

        #[update]
        async fn readdress(ctx: Ctx<Self>, to: String) -> Result<u32, Exit<ShipError>>;

        #[update]
        fn count(&mut self) -> u32;
    }
}

use depot::{Depot, DepotClient};

/// What a starter sees of a workflow, from the item alone.
fn seen<P, W: WorkflowItem<P>>(_workflow: W) -> (&'static str, &'static str, &'static str) {
    use std::any::type_name;
    type Of<P, W> = <W as WorkflowItem<P>>::Workflow;
    (<Of<P, W>>::NAME, type_name::<<Of<P, W> as Workflow>::Input>(), type_name::<<Of<P, W> as Workflow>::Err>())
}

#[test]
fn a_declared_workflow_has_its_name_and_types() {
    use std::any::type_name;
    assert_eq!(seen(ship), ("ship-parcel", type_name::<Parcel>(), type_name::<ShipError>()));
    assert_eq!(seen(sweep), ("sweep", "()", type_name::<String>()));
    assert_eq!(seen(Depot::run), ("depot", type_name::<Parcel>(), type_name::<ShipError>()));
    assert_eq!((<ship as Workflow>::NAME, <Depot as Workflow>::NAME), ("ship-parcel", "depot"));
}

/// Never called: that it compiles is the test.
async fn _started_and_talked_to(client: &Client) -> Result<(), Box<dyn std::error::Error>> {
    let parcel = Parcel { to: "the sea".into() };
    let receipt: u64 = client.start(ship, parcel).id("p-1").await?.result().await?;
    client.start(sweep, ()).await?;
    let depot = client.handle::<Depot>("d-1")?;
    depot.hold("closed".into()).await?;
    depot.reroute("the hills".into()).await?;
    let place: String = depot.place().await?;
    let _ = (receipt, place);
    Ok(())
}

/// Never called, likewise.
#[workflow]
async fn _called_by_a_workflow(ctx: Ctx) -> Shipped {
    let depot = ctx.child(Depot::run, Parcel { to: "the hills".into() }).start().await?;
    depot.hold("closed".into()).await?;
    ctx.child(sweep, ()).await?;
    Ok(ctx.child(ship, Parcel { to: "the sea".into() }).await? + depot.result().await?)
}
