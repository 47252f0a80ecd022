//! Updates: accepted, refused, done once, answered to whoever asks later, with a start too.

use std::time::Duration;

use anyhow::Result;
use highwater::{
    FreeActivities, Payload,
    client::{IdReuse, UpdateError},
    prelude::*,
};
use highwater_protocol::rejection::Code;
use highwater_tests::{
    deadline::{until, within},
    space::{self, Running},
};

use crate::SERVER;

/// What it costs, after a while.
#[activity(start_to_close = "1m")]
async fn price(name: String) -> Result<usize, String> {
    Ok(name.len())
}

/// Collects items until it is paid.
#[derive(Debug, Default)]
struct Cart {
    items: Vec<String>,
    paid: bool,
}

#[workflow]
impl Cart {
    #[run]
    async fn run(ctx: Ctx<Self>, (): ()) -> Result<Vec<String>, Exit> {
        ctx.wait_until(|cart| cart.paid).await?;
        Ok(ctx.read(|cart| cart.items.clone()))
    }

    #[signal]
    fn add(&mut self, name: String) {
        self.items.push(name);
    }

    #[signal]
    fn pay(&mut self, (): ()) {
        self.paid = true;
    }

    /// Gives the number of items.
    #[update]
    fn put(&mut self, name: String) -> Result<usize, String> {
        if name == "nothing" {
            return Err("there is no such item".into());
        }
        self.items.push(name);
        Ok(self.items.len())
    }

    #[validate(put)]
    fn check_put(&self, name: &String) -> Result<(), String> {
        if self.items.contains(name) { Err(format!("{name} is in the cart already")) } else { Ok(()) }
    }

    /// Gives the price.
    #[update]
    async fn buy(ctx: Ctx<Self>, name: String) -> Result<usize, Exit<String>> {
        let price = ctx.run(price, name.clone()).await?;
        ctx.update(|cart| cart.items.push(name));
        Ok(price)
    }

    /// Never comes back.
    #[update(unfinished = "abandon")]
    async fn ponder(ctx: Ctx<Self>, (): ()) -> Result<(), Exit<String>> {
        ctx.signals::<()>("never").recv().await?;
        Ok(())
    }
}

fn worker(highwater: &highwater::Highwater) -> Running {
    let worker = highwater.worker().workflow(Cart::run).activities(FreeActivities::new().with(price));
    Running::spawn(worker.build().expect("it can be built"))
}

#[tokio::test(flavor = "multi_thread")]
async fn updates_are_accepted_refused_and_answered() -> Result<()> {
    let highwater = space::open(&SERVER, "updates").await;
    let worker = worker(&highwater);
    let cart = highwater.client().start(Cart::run, ()).await?;
    assert_eq!(within("an update", cart.update::<_, usize, String>("put", "apple")).await?, 1);
    assert_eq!(within("an update", cart.update::<_, usize, String>("buy", "pear")).await?, 4);
    let error = within("an update", cart.update::<_, usize, String>("put", "nothing")).await.expect_err("it fails");
    assert!(matches!(&error, UpdateError::Failed(text) if text == "there is no such item"), "{error:?}");
    for (name, argument, code, told) in [
        ("put", Payload::json("\"apple\""), Code::Refused, "apple is in the cart already"),
        ("put", Payload::json("7"), Code::BadArgument, "put"),
        ("set", Payload::null(), Code::UnknownName, "buy"),
    ] {
        let error = within("an update", cart.update_payload(name, argument)).await.expect_err("it is refused");
        let UpdateError::Refused { rejection, .. } = &error else { panic!("{error:?}") };
        assert_eq!(rejection.code, code, "{rejection}");
        assert!(rejection.reason.contains(told), "{rejection}");
    }
    // One that is not answered in time is answered that it never will be.
    let pondering = within("an update", cart.update::<_, (), String>("ponder", &()).accepted()).await?;
    assert_eq!(cart.describe().await?.pending_updates.len(), 1);
    cart.signal("pay", &()).await?;
    assert_eq!(within("the result", cart.result()).await?, ["apple", "pear"]);
    let error = within("the update's end", pondering.result()).await.expect_err("the run has ended");
    assert!(matches!(error, UpdateError::Unanswered { .. }), "{error:?}");
    let error = within("an update", cart.update::<_, usize, String>("put", "late")).await.expect_err("it has ended");
    assert!(matches!(error, UpdateError::Closed { .. }), "{error:?}");
    worker.stop().await;
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn an_update_is_done_once_and_its_result_is_there_later() -> Result<()> {
    let highwater = space::open(&SERVER, "updates-once").await;
    let first = worker(&highwater);
    let cart = highwater.client().start(Cart::run, ()).id("cart").await?;
    for _ in 0..3 {
        let put = cart.update::<_, usize, String>("put", "apple").id("u 1");
        assert_eq!(within("an update", put).await?, 1);
    }
    // Another owner, which knows the update from the history alone.
    first.stop().await;
    let second = worker(&highwater);
    assert_eq!(within("an update", cart.update::<_, usize, String>("put", "apple").id("u 1")).await?, 1);
    second.stop().await;
    // Without any worker, by another handle.
    let handle = highwater.client().handle::<Cart>("cart")?;
    let later = handle.update_handle::<usize, String>("u 1")?;
    assert_eq!(within("the result of an update", later.result()).await?, 1);
    let error = handle.update_handle::<usize, String>("u 2")?.result().await.expect_err("nobody sent it");
    assert!(matches!(error, UpdateError::Unknown { .. }), "{error:?}");
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn an_update_waits_for_a_worker() -> Result<()> {
    let highwater = space::open(&SERVER, "updates-wait").await;
    let cart = highwater.client().start(Cart::run, ()).await?;
    let put = tokio::spawn(cart.update::<_, usize, String>("put", "apple").into_future());
    let worker = worker(&highwater);
    assert_eq!(within("an update", put).await??, 1);
    worker.stop().await;
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_start_with_a_signal_reaches_the_run_there_is_or_a_new_one() -> Result<()> {
    let highwater = space::open(&SERVER, "signal-with-start").await;
    let client = highwater.client();
    let start =
        |name: &str| client.start(Cart::run, ()).id("cart").id_reuse(IdReuse::Allow).with_signal_named("add", name);
    let first = worker(&highwater);
    let (one, two) = (start("apple").await?, start("pear").await?);
    assert_eq!(one.run_id(), two.run_id());
    first.stop().await;
    // Nobody is alive: it waits for the next worker.
    let three = start("plum").await?;
    assert_eq!(three.run_id(), one.run_id());
    let second = worker(&highwater);
    one.signal("pay", &()).await?;
    assert_eq!(within("the result", three.result()).await?, ["apple", "pear", "plum"]);
    second.stop().await;
    // A new run, begun while nobody is alive.
    let next = start("fig").await?;
    assert_ne!(next.run_id(), one.run_id());
    next.signal("pay", &()).await?;
    let third = worker(&highwater);
    assert_eq!(within("the result", next.result()).await?, ["fig"]);
    third.stop().await;
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_start_with_an_update_reaches_the_run_there_is_or_a_new_one() -> Result<()> {
    let highwater = space::open(&SERVER, "update-with-start").await;
    let client = highwater.client();
    let start = |name: &str| client.start(Cart::run, ()).id("cart").with_update_named::<_, usize, String>("put", name);
    // Nobody is alive: it waits.
    let waiting = tokio::spawn(start("apple").into_future());
    let pending = async || client.handle::<Cart>("cart").expect("it is an id").describe().await.is_ok();
    until("the start is in the inbox", pending, |there| *there).await;
    let worker = worker(&highwater);
    let (one, apple) = within("the start", waiting).await??;
    assert_eq!(within("the update", apple.result()).await?, 1);
    let (two, pear) = within("the start", start("pear").update_id("u-2")).await?;
    assert_eq!(two.run_id(), one.run_id());
    assert_eq!(within("the update", pear.result()).await?, 2);
    let (_, refused) = within("the start", start("pear")).await?;
    let error = within("the update", refused.result()).await.expect_err("it is there already");
    assert!(matches!(error, UpdateError::Refused { .. }), "{error:?}");
    one.signal("pay", &()).await?;
    assert_eq!(within("the result", two.result()).await?, ["apple", "pear"]);
    // What is refused with the first event of a run starts the run all the same.
    let nothing = client.start(Cart::run, ()).with_update_payload("set", Payload::null());
    let (started, refused) = within("the start", nothing).await?;
    let error = within("the update", refused.result()).await.expect_err("there is no such update");
    assert!(matches!(error, UpdateError::Refused { .. }), "{error:?}");
    started.signal("pay", &()).await?;
    within("the result", started.result().timeout(Duration::from_mins(1))).await?;
    worker.stop().await;
    Ok(())
}
