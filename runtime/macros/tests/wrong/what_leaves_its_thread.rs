extern crate highwater_core as highwater;

use std::{rc::Rc, thread};

use highwater::{
    Ctx, Exit,
    sync::{Mutex, channel},
};
use highwater_macros::workflow;

#[workflow]
async fn the_context(ctx: Ctx) -> Result<(), Exit> {
    thread::spawn(move || ctx.now());
    Ok(())
}

#[workflow]
async fn a_sender(_ctx: Ctx) -> Result<(), Exit> {
    let (sender, _receiver) = channel::<u32>();
    thread::spawn(move || sender.send(5));
    Ok(())
}

#[workflow]
async fn a_lock(ctx: Ctx) -> Result<(), Exit> {
    let total = Rc::new(Mutex::new(0));
    let _added = ctx.step("add", async move |_| Ok::<_, String>(*total.lock().await));
    Ok(())
}

fn main() {}
