#![allow(unused)]

extern crate highwater_core as highwater;

use highwater::{Ctx, Exit};
use highwater_macros::workflow;

#[derive(Default)]
pub struct Twice;

#[workflow]
impl Twice {
    #[run]
    async fn run(_ctx: Ctx<Self>) -> Result<(), Exit> {
        Ok(())
    }

    #[signal]
    fn add(&mut self, n: u32) {}

    #[signal(name = "add")]
    fn append(&mut self, n: u32) {}
}

#[derive(Default)]
pub struct Queries;

#[workflow]
impl Queries {
    #[run]
    async fn run(_ctx: Ctx<Self>) -> Result<(), Exit> {
        Ok(())
    }

    #[query]
    fn total(&mut self) -> u32 {
        5
    }
}

#[derive(Default)]
pub struct Awaits;

#[workflow]
impl Awaits {
    #[run]
    async fn run(_ctx: Ctx<Self>) -> Result<(), Exit> {
        Ok(())
    }

    #[signal]
    async fn add(&mut self, n: u32) {}
}

#[derive(Default)]
pub struct TakenName;

#[workflow]
impl TakenName {
    #[run]
    async fn run(_ctx: Ctx<Self>) -> Result<(), Exit> {
        Ok(())
    }

    #[signal]
    fn cancel(&mut self, reason: String) {}
}

#[derive(Default)]
pub struct NoRun;

#[workflow]
impl NoRun {
    #[signal]
    fn add(&mut self, n: u32) {}
}

#[derive(Default)]
pub struct TakesSelf;

#[workflow]
impl TakesSelf {
    #[run]
    async fn run(&mut self, ctx: Ctx<Self>) -> Result<(), Exit> {
        Ok(())
    }
}

#[workflow(handle = Nobody)]
async fn no_handlers(_ctx: Ctx) -> Result<(), Exit> {
    Ok(())
}

#[workflow]
async fn no_context() -> Result<(), Exit> {
    Ok(())
}

#[workflow]
fn not_async(_ctx: Ctx) -> Result<(), Exit> {
    Ok(())
}

#[workflow]
struct Data;

fn main() {}
