extern crate highwater_core as highwater;

use highwater::{Ctx, Exit};
use highwater_macros::workflow;

pub struct NoDefault;

#[workflow]
impl NoDefault {
    #[run]
    async fn run(_ctx: Ctx<Self>) -> Result<(), Exit> {
        Ok(())
    }
}

#[workflow]
async fn no_result(_ctx: Ctx) -> u32 {
    5
}

fn main() {}
