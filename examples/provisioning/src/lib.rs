//! An environment for a customer: a database and some servers, each a workflow of its own, changed by updates while it
//! runs, and taken down when it is cancelled.
//!
//! - [`Environment`]: the parent, with its updates.
//! - [`machine()`]: the child, one for each part.
//! - [`Cloud`]: the activities.

mod cloud;
mod machines;

use highwater::{Child, IdReuse, prelude::*};
use serde::{Deserialize, Serialize};

pub use cloud::Cloud;
pub use machines::{Kind, Machine, machine};

/// What a customer orders.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Plan {
    /// Whose it is.
    pub customer: String,
    /// How many servers.
    pub servers: u32,
}

/// Why a change is refused.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, thiserror::Error)]
pub enum ResizeError {
    /// It is not a number that we sell.
    #[error("from 1 to {SERVERS_MAX} servers can be had, not {0}")]
    Number(u32),
    /// Another change is under way.
    #[error("another change is under way")]
    Busy,
}

/// The most servers of one environment.
pub const SERVERS_MAX: u32 = 20;

/// An environment.
#[derive(Debug, Default)]
pub struct Environment {
    customer: String,
    servers: Vec<Child<machine>>,
    changing: bool,
}

#[workflow]
impl Environment {
    #[init]
    fn new(plan: &Plan) -> Self {
        Self { customer: plan.customer.clone(), changing: true, ..Self::default() }
    }

    /// Builds the environment, keeps it until somebody cancels it, and takes it down.
    #[run]
    pub async fn run(ctx: Ctx<Self>, plan: Plan) -> Result<u32, Exit> {
        let database = Machine { name: format!("{}-db", plan.customer), kind: Kind::Database };
        let name = database.name.clone();
        let database = ctx.child(machine, database).id(&name).start().await?;
        let built = grow(&ctx, plan.servers).await;
        ctx.update(|environment| environment.changing = false);
        if built.is_ok() {
            // Updates come and go while this waits.
            ctx.cancelled().await;
        }
        ctx.update(|environment| environment.changing = true);
        let servers = ctx.read(Self::servers);
        shrink(&ctx, 0).await;
        give_back(database).await;
        built.map(|()| servers)
    }

    /// Changes the number of servers, and answers when that is done.
    #[update]
    pub async fn resize(ctx: Ctx<Self>, servers: u32) -> Result<u32, Exit<ResizeError>> {
        ctx.update(|environment| environment.changing = true);
        let grown = grow(&ctx, servers).await;
        shrink(&ctx, servers).await;
        ctx.update(|environment| environment.changing = false);
        grown.map(|()| ctx.read(Self::servers))
    }

    #[validate(resize)]
    fn can_resize(&self, servers: &u32) -> Result<(), ResizeError> {
        if !(1..=SERVERS_MAX).contains(servers) {
            return Err(ResizeError::Number(*servers));
        }
        if self.changing { Err(ResizeError::Busy) } else { Ok(()) }
    }

    /// How many servers there are.
    #[query]
    pub fn servers(&self) -> u32 {
        self.servers.len() as u32
    }
}

/// Starts the servers that are missing, all at once, and waits until each is under way.
async fn grow<E>(ctx: &Ctx<Environment>, servers: u32) -> Result<(), Exit<E>> {
    let customer = ctx.read(|environment| environment.customer.clone());
    let starts = (ctx.read(Environment::servers)..servers).map(|number| {
        let name = format!("{customer}-{number}");
        // A number is used again after its server was given back.
        let server = ctx.child(machine, Machine { name: name.clone(), kind: Kind::Server });
        server.id(&name).id_reuse(IdReuse::Allow).start()
    });
    let started = try_join_all(starts).await?;
    ctx.update(|environment| environment.servers.extend(started));
    Ok(())
}

/// Gives servers back, the last first.
async fn shrink(ctx: &Ctx<Environment>, servers: u32) {
    let surplus = |environment: &mut Environment| {
        if environment.servers() > servers { environment.servers.pop() } else { None }
    };
    while let Some(server) = ctx.update(surplus) {
        give_back(server).await;
    }
}

/// Asks a machine to end, and waits until it has given back what it had. It ends as cancelled, which is as it should
/// be.
async fn give_back(machine: Child<machine>) {
    machine.cancel("it is not needed any more");
    let _cancelled = machine.result().await;
}
