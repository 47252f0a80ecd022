//! Typed handles, over the engine: signals, queries and updates by the methods of the workflow's own handle.

use highwater::{
    NoError,
    client::{Delivered, IdReuse, SignalError, UpdateError},
    prelude::*,
};
use highwater_testing::TestEnv;
use serde::{Deserialize, Serialize};

#[derive(Debug, PartialEq, Serialize, Deserialize, thiserror::Error)]
enum CartError {
    #[error("{0} is sold out")]
    SoldOut(String),
}

#[activity(non_retryable = CartError::SoldOut(_))]
async fn reserve(item: String) -> Result<u64, CartError> {
    if item == "moon" { Err(CartError::SoldOut(item)) } else { Ok(item.len() as u64) }
}

#[derive(Default)]
struct Cart {
    items: Vec<String>,
    cents: u64,
    paid: bool,
}

#[workflow(name = "cart")]
impl Cart {
    #[run]
    async fn run(ctx: Ctx<Self>) -> Result<u64, Exit> {
        ctx.wait_until(|cart| cart.paid).await?;
        Ok(ctx.read(|cart| cart.cents))
    }

    #[signal]
    fn pay(&mut self) {
        self.paid = true;
    }

    /// Not known beforehand how long it takes; the run waits for it.
    #[signal]
    async fn gift(ctx: Ctx<Self>, item: String) {
        if let Ok(cents) = ctx.run(reserve, item.clone()).await {
            ctx.update(|cart| {
                cart.items.push(item);
                cart.cents -= cents.min(cart.cents);
            });
        }
    }

    #[query]
    fn items(&self) -> &[String] {
        &self.items
    }

    #[update]
    async fn add(ctx: Ctx<Self>, item: String) -> Result<u64, Exit<CartError>> {
        let cents = ctx.run(reserve, item.clone()).await.map_err(|error| match error {
            CallError::Failed(own) => Exit::Error(own),
            other => other.into(),
        })?;
        Ok(ctx.update(|cart| {
            cart.items.push(item);
            cart.cents += cents;
            cart.cents
        }))
    }

    #[validate(add)]
    fn may_add(&self, item: &str) -> Result<(), String> {
        if self.items.iter().any(|known| known == item) { Err(format!("{item} is in already")) } else { Ok(()) }
    }

    #[update]
    fn clear(&mut self) -> usize {
        std::mem::take(&mut self.items).len()
    }

    #[update(unfinished = "abandon")]
    async fn paid(ctx: Ctx<Self>) -> Result<(), Exit> {
        ctx.sleep(std::time::Duration::from_hours(24 * 365)).await?;
        Ok(())
    }
}

async fn env() -> TestEnv {
    TestEnv::builder().workflow(Cart::run).activities(highwater::FreeActivities::new().with(reserve)).start().await
}

#[tokio::test]
async fn messages_go_by_the_methods_of_a_typed_handle() {
    let env = env().await;
    let cart = env.client().start(Cart::run, ()).id("cart-1").await.unwrap();
    assert_eq!(cart.add("pear".into()).await.unwrap(), 4);
    assert_eq!(cart.add("banana".into()).await.unwrap(), 10);
    let items: Vec<String> = cart.items().await.unwrap();
    assert_eq!(items, ["pear", "banana"]);
    let cleared: Result<usize, UpdateError<NoError>> = cart.clear().await;
    assert_eq!(cleared.unwrap(), 2);
    cart.gift("book".into()).await.unwrap();
    cart.pay().await.unwrap();
    assert_eq!(cart.result().await.unwrap(), 6, "the run waited for the gift");
    env.finish().await;
}

#[tokio::test]
async fn an_update_fails_with_its_own_error_and_is_refused_with_the_validators_words() {
    let env = env().await;
    let cart = env.client().start(Cart::run, ()).id("cart-1").await.unwrap();
    let sold_out = cart.add("moon".into()).await.unwrap_err();
    assert!(matches!(sold_out, UpdateError::Failed(CartError::SoldOut(ref item)) if item == "moon"), "{sold_out:?}");
    cart.add("pear".into()).await.unwrap();
    let refused = cart.add("pear".into()).await.unwrap_err();
    assert!(matches!(refused, UpdateError::Refused { .. }), "{refused:?}");
    assert!(refused.to_string().contains("pear is in already"), "{refused}");
    env.finish().await;
}

#[tokio::test]
async fn an_update_with_an_id_is_one_update_and_its_result_can_be_had_later() {
    let env = env().await;
    let cart = env.client().start(Cart::run, ()).id("cart-1").await.unwrap();
    let first = cart.add("pear".into()).id("u-1").accepted().await.unwrap();
    assert_eq!(first.result().await.unwrap(), 4);
    assert_eq!(cart.add("pear".into()).id("u-1").await.unwrap(), 4);
    let later = cart.update_handle::<u64, CartError>("u-1").unwrap();
    assert_eq!(later.result().await.unwrap(), 4);
    env.finish().await;
}

#[tokio::test]
async fn a_start_brings_a_signal_or_an_update() {
    let env = env().await;
    let start = || env.client().start(Cart::run, ()).id("cart-1");
    let (cart, added) = start().with_update(|cart| cart.add("pear".into())).await.unwrap();
    assert_eq!(added.result().await.unwrap(), 4);
    let same = start().with_signal(CartHandle::pay).await.unwrap();
    assert_eq!(same.result().await.unwrap(), 4);
    assert_eq!(cart.result().await.unwrap(), 4);
    env.finish().await;
}

/// Fills a cart of its own, and pays another one.
#[workflow]
async fn shopping(ctx: Ctx, other: String) -> Result<u64, Exit> {
    let cart = ctx.child(Cart::run, ()).id("cart-of-mine").start().await?;
    cart.gift("pear".into()).await?;
    ctx.workflow_of::<Cart>(&other).pay().await?;
    cart.pay().await?;
    Ok(cart.result().await?)
}

#[tokio::test]
async fn workflows_signal_children_and_others_by_typed_handles() {
    let activities = highwater::FreeActivities::new().with(reserve);
    let env = TestEnv::builder().workflow(Cart::run).workflow(shopping).activities(activities).start().await;
    let other = env.client().start(Cart::run, ()).id("cart-1").await.unwrap();
    assert_eq!(other.add("pear".into()).await.unwrap(), 4);
    let shopping = env.client().start(shopping, "cart-1".into()).await.unwrap();
    assert_eq!(shopping.result().await.unwrap(), 0);
    assert_eq!(other.result().await.unwrap(), 4);
    let gifts: Vec<String> = env.client().handle::<Cart>("cart-of-mine").unwrap().items().await.unwrap();
    assert_eq!(gifts, ["pear"]);
    env.finish().await;
}

#[tokio::test]
async fn a_run_ends_without_a_handler_that_may_be_abandoned() {
    let env = env().await;
    let cart = env.client().start(Cart::run, ()).id("cart-1").await.unwrap();
    let waiting = cart.paid().accepted().await.unwrap();
    cart.pay().await.unwrap();
    assert_eq!(cart.result().await.unwrap(), 0);
    assert!(waiting.result().await.is_err());
    env.finish().await;
}

/// Takes words, and goes on as another run after "on".
#[workflow]
async fn relay(ctx: Ctx, round: u32) -> Result<u32, Exit> {
    let mut words = ctx.signals::<String>("word");
    loop {
        match words.recv().await?.as_str() {
            "on" => return Err(ctx.continue_as_new::<relay>(round + 1)),
            "end" => return Ok(round),
            _ => {}
        }
    }
}

#[tokio::test]
async fn a_handle_from_a_start_signals_all_runs_of_its_chain_and_no_other_of_the_id() {
    let env = TestEnv::builder().workflow(relay).start().await;
    let chain = env.client().start(relay, 0).id("r").await.unwrap();
    for word in ["some", "on", "some", "on", "end"] {
        assert_eq!(chain.signal("word", word).await.unwrap(), Delivered::Accepted, "{word}");
    }
    assert_eq!(chain.result().await.unwrap(), 2);
    let next = env.client().start(relay, 10).id("r").id_reuse(IdReuse::Allow).await.unwrap();
    let refused = chain.signal("word", "end").await.unwrap_err();
    assert!(matches!(refused, SignalError::Closed { .. }), "{refused}");
    assert_eq!(next.signal("word", "end").await.unwrap(), Delivered::Accepted, "it has not ended by the other signal");
    assert_eq!(next.result().await.unwrap(), 10);
    env.finish().await;
}

#[tokio::test]
async fn a_handle_that_was_answered_a_moment_ago_hears_of_the_end_from_the_owner() {
    let env = TestEnv::builder().workflow(relay).start().await;
    let started = env.client().start(relay, 0).id("r").await.unwrap();
    let latest = env.client().handle::<relay>("r").unwrap();
    let pinned = started.clone().pinned_to(started.run_id().unwrap());
    for handle in [&latest, &pinned, &started] {
        assert_eq!(handle.signal("word", "some").await.unwrap(), Delivered::Accepted);
    }
    started.signal("word", "end").await.unwrap();
    assert_eq!(started.result().await.unwrap(), 0);
    for handle in [&latest, &pinned, &started] {
        for _ in 0..2 {
            let refused = handle.signal("word", "some").await.unwrap_err();
            assert!(matches!(refused, SignalError::Closed { .. }), "{refused}");
        }
    }
    env.finish().await;
}
