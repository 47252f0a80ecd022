extern crate highwater_core as highwater;

use highwater::{Ctx, Exit};
use highwater_macros::{activities, workflow};

pub struct Shop;

#[activities]
impl Shop {
    #[activity]
    pub async fn charge(&self, cents: u32) -> Result<u32, String> {
        Ok(cents)
    }

    pub async fn helper(&self, cents: u32) -> Result<u32, String> {
        Ok(cents)
    }
}

#[workflow]
async fn order(ctx: Ctx) -> Result<(), Exit> {
    ctx.run(Shop.charge(5), 5).await?;
    Ok(())
}

fn main() {}
