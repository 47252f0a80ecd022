//! The typed handles that `#[workflow]` makes: methods named as the user's own, on everything that leads to a workflow.

use std::{cell::RefCell, marker::PhantomData};

use highwater::{Fault, NoError, Payload, QueryPort, SignalPort, UpdatePort, WorkflowHandle, prelude::*};
use serde::{Deserialize, Serialize, de::DeserializeOwned};

mod shop {
    use highwater::prelude::*;

    use super::Item;

    type Items = Vec<Item>;

    #[derive(Default)]
    pub(super) struct Cart {
        items: Items,
        paid: bool,
    }

    #[workflow(name = "shopping-cart")]
    impl Cart {
        #[run]
        pub(super) async fn run(ctx: Ctx<Self>) -> Result<usize, Exit> {
            ctx.wait_until(|cart| cart.paid).await?;
            Ok(ctx.read(|cart| cart.items.len()))
        }

        /// Puts an item in.
        #[signal]
        pub(super) fn add(&mut self, item: Item) {
            self.items.push(item);
        }

        #[signal(name = "pay")]
        pub(super) fn settle(&mut self) {
            self.paid = true;
        }

        #[signal]
        pub(super) fn r#move(&mut self, (from, to): (usize, usize)) {
            self.items.swap(from, to);
        }

        #[cfg(any())]
        #[signal]
        pub(super) fn nowhere(&mut self, nothing: Nothing) {}

        #[query]
        pub(super) fn items(&self) -> &[Item] {
            &self.items
        }

        #[query]
        pub(super) fn first(&self, skip: usize) -> Option<&Item> {
            self.items.get(skip)
        }

        #[query(name = "all")]
        fn aliased(&self) -> Items {
            self.items.clone()
        }

        #[query]
        fn nothing(&self) {}

        #[signal(unfinished = "abandon")]
        pub(super) async fn restock(ctx: Ctx<Self>, count: usize) {
            if ctx.wait_until(move |cart| cart.items.len() > count).await.is_ok() {
                ctx.update(|cart| cart.items.truncate(count));
            }
        }

        /// A value.
        #[update]
        pub(super) fn clear(&mut self) -> usize {
            std::mem::take(&mut self.items).len()
        }

        /// A result, behind an alias.
        #[update(name = "replace-first")]
        pub(super) fn replace(&mut self, item: Item) -> Replaced {
            let first = self.items.first_mut().ok_or_else(|| "no item".to_owned())?;
            Ok(std::mem::replace(first, item))
        }

        #[validate(replace)]
        fn may_replace(&self, item: &Item) -> Result<(), String> {
            if self.items.contains(item) { Err(format!("{item:?} is there already")) } else { Ok(()) }
        }

        /// Awaits, so `?` takes cancellation too.
        #[update]
        pub(super) async fn swap(ctx: Ctx<Self>, (from, to): (usize, usize)) -> Result<usize, Exit<String>> {
            ctx.wait_until(move |cart| cart.items.len() > from.max(to)).await?;
            ctx.update(|cart| cart.items.swap(from, to));
            Ok(ctx.read(|cart| cart.items.len()))
        }

        #[validate(swap)]
        fn is_open(&self) -> Result<(), &'static str> {
            if self.paid { Err("paid already") } else { Ok(()) }
        }
    }

    type Replaced = Result<Item, String>;

    /// Its own methods are what they were.
    pub(super) fn played() -> Vec<Item> {
        let mut cart = Cart::default();
        cart.add(Item(1));
        cart.add(Item(2));
        cart.r#move((0, 1));
        cart.settle();
        assert!(cart.paid);
        assert_eq!(cart.first(1), Some(&Item(1)));
        cart.nothing();
        assert_eq!(cart.may_replace(&Item(1)).unwrap_err(), "Item(1) is there already");
        assert_eq!((cart.replace(Item(3)), cart.is_open()), (Ok(Item(2)), Err("paid already")));
        let items = cart.aliased();
        assert_eq!(cart.clear(), 2);
        items
    }
}

use shop::{Cart, CartHandle};

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
struct Item(u32);

/// What was sent, in place of sending it.
struct Recorded<W>(RefCell<Vec<(&'static str, Payload)>>, PhantomData<W>);

impl<W> Recorded<W> {
    fn new() -> Self {
        Self(RefCell::default(), PhantomData)
    }

    fn record<A: Serialize + ?Sized>(&self, name: &'static str, argument: &A) {
        self.0.borrow_mut().push((name, Payload::encode(argument).expect("an argument encodes")));
    }

    fn take(&self) -> Vec<(&'static str, String)> {
        let text = |(name, payload): (_, Payload)| (name, String::from_utf8_lossy(&payload.data).into_owned());
        self.0.take().into_iter().map(text).collect()
    }
}

impl<W> SignalPort<W> for Recorded<W> {
    type Sent = ();
    fn send_signal<A: Serialize + ?Sized>(&self, name: &'static str, argument: &A) {
        self.record(name, argument);
    }
}

impl<W> QueryPort<W> for Recorded<W> {
    type Asked<R: DeserializeOwned + 'static> = Option<R>;
    fn ask_query<A: Serialize + ?Sized, R: DeserializeOwned + 'static>(
        &self,
        name: &'static str,
        argument: &A,
    ) -> Option<R> {
        self.record(name, argument);
        None
    }
}

impl<W> UpdatePort<W> for Recorded<W> {
    type Updated<T: DeserializeOwned + 'static, E: Fault> = Option<Result<T, E>>;
    fn send_update<A: Serialize + ?Sized, T: DeserializeOwned + 'static, E: Fault>(
        &self,
        name: &'static str,
        argument: &A,
    ) -> Option<Result<T, E>> {
        self.record(name, argument);
        None
    }
}

#[test]
fn a_handle_has_a_method_for_every_handler() {
    let cart = Recorded::<Cart>::new();
    cart.add(Item(5));
    cart.settle();
    cart.r#move((0, 1));
    let borrowed: Option<Vec<Item>> = cart.items();
    let nested: Option<Option<Item>> = cart.first(3);
    let aliased: Option<Vec<Item>> = cart.aliased();
    let nothing: Option<()> = cart.nothing();
    assert_eq!((borrowed, nested, aliased, nothing), (None, None, None, None));
    cart.restock(1);
    let value: Option<Result<usize, NoError>> = cart.clear();
    let result: Option<Result<Item, String>> = cart.replace(Item(7));
    let awaited: Option<Result<usize, String>> = cart.swap((1, 2));
    assert!(value.is_none() && result.is_none() && awaited.is_none());
    let sent = [
        ("add", "5"),
        ("pay", "null"),
        ("move", "[0,1]"),
        ("items", "null"),
        ("first", "3"),
        ("all", "null"),
        ("nothing", "null"),
        ("restock", "1"),
        ("clear", "null"),
        ("replace-first", "7"),
        ("swap", "[1,2]"),
    ];
    assert_eq!(cart.take(), sent.map(|(name, argument)| (name, argument.to_owned())));
}

#[test]
fn the_methods_of_the_block_stay_as_they_are() {
    assert_eq!(shop::played(), [Item(3), Item(1)]);
}

/// Of another workflow, with a name of its own, private as its `run` is.
#[derive(Default)]
struct Basket;

#[workflow(handle = ByHand)]
impl Basket {
    #[run]
    async fn run(ctx: Ctx<Self>) -> Result<(), Exit> {
        ctx.cancelled().await;
        Ok(())
    }

    #[signal]
    fn add(&mut self, _item: u8) {}

    #[query]
    fn items(&self) -> u8 {
        0
    }
}

/// Never called: that it compiles, with both traits in scope, is the test.
async fn _a_clients_handle(client: &Client) -> Result<(), Box<dyn std::error::Error>> {
    let cart = client.start(Cart::run, ()).id("cart-1").await?;
    cart.add(Item(1)).await?;
    let items: Vec<Item> = cart.items().await?;
    let count: usize = cart.clear().await?;
    let update = cart.replace(Item(2)).id("u-1").accepted().await?;
    let replaced: Item = update.result().await?;
    let signalled = client.start(Cart::run, ()).id("cart-1").with_signal(|cart| cart.add(Item(3))).await?;
    let (_, swap) = client.start(Cart::run, ()).id("cart-1").with_update(|cart| cart.swap((0, 1))).await?;
    let length: usize = swap.result().await?;
    let _ = (count, replaced, signalled, length);
    let by_id = client.handle::<Cart>("cart-1")?;
    by_id.settle().await?;
    let basket = client.handle::<Basket>("basket")?;
    basket.add(5).await?;
    let total: u8 = basket.items().await?;
    let _ = (items, total);
    Ok(())
}

/// Never called, likewise: children and other workflows take signals.
#[workflow]
async fn _within_a_workflow(ctx: Ctx) -> Result<usize, Exit> {
    let child = ctx.child(Cart::run, ()).id("cart-2").start().await?;
    child.add(Item(1)).await?;
    child.settle().await?;
    ctx.workflow_of::<Basket>("basket").add(5).await?;
    Ok(child.result().await?)
}

#[test]
fn a_typed_call_can_leave_its_thread_and_its_handle() {
    fn sent<T: Send + 'static>(_: impl Fn(&WorkflowHandle<Cart>) -> T) {}
    sent(CartHandle::settle);
    sent(CartHandle::items);
}
