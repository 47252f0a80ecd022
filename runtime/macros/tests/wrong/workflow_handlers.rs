#![allow(unused)]

extern crate highwater_core as highwater;

use highwater::{Ctx, Exit};
use highwater_macros::workflow;

#[derive(Default)]
pub struct Unfinished;

#[workflow]
impl Unfinished {
    #[run]
    async fn run(_ctx: Ctx<Self>) -> Result<(), Exit> {
        Ok(())
    }

    #[signal(unfinished = "abandon")]
    fn add(&mut self, n: u32) {}
}

#[derive(Default)]
pub struct UnknownChoice;

#[workflow]
impl UnknownChoice {
    #[run]
    async fn run(_ctx: Ctx<Self>) -> Result<(), Exit> {
        Ok(())
    }

    #[update(unfinished = "drop")]
    async fn add(ctx: Ctx<Self>, n: u32) {}
}

#[derive(Default)]
pub struct NoContext;

#[workflow]
impl NoContext {
    #[run]
    async fn run(_ctx: Ctx<Self>) -> Result<(), Exit> {
        Ok(())
    }

    #[update]
    async fn add() -> u32 {
        5
    }
}

#[derive(Default)]
pub struct NotAsync;

#[workflow]
impl NotAsync {
    #[run]
    async fn run(_ctx: Ctx<Self>) -> Result<(), Exit> {
        Ok(())
    }

    #[update]
    fn add(ctx: Ctx<Self>, n: u32) -> u32 {
        n
    }
}

#[derive(Default)]
pub struct Answers;

#[workflow]
impl Answers {
    #[run]
    async fn run(_ctx: Ctx<Self>) -> Result<(), Exit> {
        Ok(())
    }

    #[signal]
    fn add(&mut self, n: u32) -> u32 {
        n
    }
}

#[derive(Default)]
pub struct Borrows;

#[workflow]
impl Borrows {
    #[run]
    async fn run(_ctx: Ctx<Self>) -> Result<(), Exit> {
        Ok(())
    }

    #[update]
    fn rename(&mut self, name: &str) {}
}

#[derive(Default)]
pub struct JudgesNothing;

#[workflow]
impl JudgesNothing {
    #[run]
    async fn run(_ctx: Ctx<Self>) -> Result<(), Exit> {
        Ok(())
    }

    #[signal]
    fn add(&mut self, n: u32) {}

    #[validate(add)]
    fn check(&self, n: &u32) -> Result<(), String> {
        Ok(())
    }
}

#[derive(Default)]
pub struct JudgesAndChanges;

#[workflow]
impl JudgesAndChanges {
    #[run]
    async fn run(_ctx: Ctx<Self>) -> Result<(), Exit> {
        Ok(())
    }

    #[update]
    fn add(&mut self, n: u32) {}

    #[validate(add)]
    fn check(&mut self, n: &u32) -> Result<(), String> {
        Ok(())
    }
}

#[derive(Default)]
pub struct TwoInOne;

#[workflow]
impl TwoInOne {
    #[run]
    async fn run(_ctx: Ctx<Self>) -> Result<(), Exit> {
        Ok(())
    }

    #[signal]
    #[update]
    fn add(&mut self, n: u32) {}
}

#[workflow]
pub trait HasCode {
    #[run]
    async fn run(ctx: Ctx<Self>) -> Result<(), Exit> {
        Ok(())
    }
}

#[workflow]
pub trait HasMore {
    #[run]
    async fn run(ctx: Ctx<Self>) -> Result<(), Exit>;

    fn helper(&self);
}

#[workflow]
pub trait HasInit {
    #[init]
    fn new() -> Self;

    #[run]
    async fn run(ctx: Ctx<Self>) -> Result<(), Exit>;
}

fn main() {}
