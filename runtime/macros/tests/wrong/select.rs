#![allow(unused)]

extern crate highwater_core as highwater;

use std::time::Duration;

use highwater::{Ctx, Exit};
use highwater_macros::{select, workflow};

#[workflow]
async fn biased(ctx: Ctx) -> Result<(), Exit> {
    select! {
        biased;
        slept = ctx.sleep(Duration::ZERO) => slept?,
    }
    Ok(())
}

#[workflow]
async fn or_else(ctx: Ctx) -> Result<(), Exit> {
    select! {
        slept = ctx.sleep(Duration::ZERO) => slept?,
        else => {}
    }
    Ok(())
}

#[workflow]
async fn condition(ctx: Ctx) -> Result<(), Exit> {
    select! {
        slept = ctx.sleep(Duration::ZERO), if true => slept?,
    }
    Ok(())
}

#[workflow]
async fn refutable(ctx: Ctx) -> Result<(), Exit> {
    let _ = &ctx;
    select! {
        Ok(()) = ctx.sleep(Duration::ZERO) => {}
    }
    Ok(())
}

fn main() {}
