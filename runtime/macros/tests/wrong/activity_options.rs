#![allow(unused)]

extern crate highwater_core as highwater;

use highwater::{Ctx, Exit};
use highwater_macros::{activity, workflow};

#[activity(start_to_clos = "10s")]
async fn unknown(n: u32) -> Result<u32, String> {
    Ok(n)
}

#[activity(retry(max_attempts = 5))]
async fn unknown_retry(n: u32) -> Result<u32, String> {
    Ok(n)
}

#[activity(start_to_close = "10 parsecs")]
async fn no_duration(n: u32) -> Result<u32, String> {
    Ok(n)
}

#[activity(heartbeat = 10)]
async fn a_number(n: u32) -> Result<u32, String> {
    Ok(n)
}

#[activity(heartbeat = "0s")]
async fn no_time(n: u32) -> Result<u32, String> {
    Ok(n)
}

#[activity(name = "a", name = "b")]
async fn twice(n: u32) -> Result<u32, String> {
    Ok(n)
}

#[activity(name = "")]
async fn no_name(n: u32) -> Result<u32, String> {
    Ok(n)
}

#[activity(retry(backoff_coefficient = 0.5))]
async fn shrinking(n: u32) -> Result<u32, String> {
    Ok(n)
}

#[workflow(queue = "gpu")]
async fn order(ctx: Ctx) -> Result<(), Exit> {
    Ok(())
}

fn main() {}
