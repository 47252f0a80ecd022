//! What `#[workflow]` makes of functions and blocks: types that carry names, inputs and results.

use std::time::Duration;

use highwater::{Workflow, WorkflowItem, prelude::*};
use serde::{Deserialize, Serialize};

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
struct Order(u32);

type Ended = Result<u32, Exit<String>>;

/// An alias for the result, and an input that is taken apart.
#[workflow]
async fn order(ctx: Ctx, Order(mut cents): Order) -> Ended {
    cents += 1;
    if cents == 13 {
        Err("unlucky".to_owned())?;
    }
    ctx.sleep(Duration::from_secs(1)).await?;
    Ok(cents)
}

#[workflow(name = "nightly-report")]
async fn report(_: Ctx) -> Result<(), String> {
    Ok(())
}

#[workflow]
async fn again(ctx: Ctx, round: u32) -> Ended {
    Err(ctx.continue_as_new::<again>(round + 1))
}

#[derive(Default)]
struct Cart {
    items: Vec<u32>,
}

#[workflow(name = "shopping-cart")]
impl Cart {
    const LARGE: usize = 3;

    #[run]
    async fn run(ctx: Ctx<Self>, _order: Order) -> Ended {
        ctx.wait_until(Self::is_large).await?;
        Ok(ctx.read(Self::total))
    }

    fn is_large(&self) -> bool {
        self.items.len() >= Self::LARGE
    }

    #[signal]
    fn add(&mut self, item: u32) {
        self.items.push(item);
    }

    #[query]
    fn total(&self) -> u32 {
        self.items.iter().sum()
    }
}

/// What the engine sees of a workflow, from the item alone.
fn seen<P, W: WorkflowItem<P>>(_workflow: W) -> (&'static str, &'static str, &'static str) {
    use std::any::type_name;
    type Of<P, W> = <W as WorkflowItem<P>>::Workflow;
    (<Of<P, W>>::NAME, type_name::<<Of<P, W> as Workflow>::Input>(), type_name::<<Of<P, W> as Workflow>::Err>())
}

#[test]
fn a_workflow_is_reached_from_its_function() {
    let text = std::any::type_name::<String>();
    assert_eq!(seen(order), ("order", std::any::type_name::<Order>(), text));
    assert_eq!(seen(report), ("nightly-report", "()", text));
    assert_eq!(seen(again), ("again", "u32", text));
    assert_eq!(seen(Cart::run), ("shopping-cart", std::any::type_name::<Order>(), text));
}

#[test]
fn a_workflow_is_a_type_as_well() {
    fn ok<W: Workflow<Ok = T>, T>() {}
    assert_eq!((order::NAME, report::NAME, Cart::NAME), ("order", "nightly-report", "shopping-cart"));
    ok::<order, u32>();
    ok::<report, ()>();
    ok::<Cart, u32>();
}

#[test]
fn handlers_stay_callable() {
    let mut cart = Cart::default();
    cart.add(2);
    cart.add(3);
    assert_eq!((cart.total(), cart.is_large()), (5, false));
}

mod elsewhere {
    use highwater::prelude::*;

    #[workflow]
    pub(crate) async fn inner(_ctx: Ctx, n: u8) -> Result<u8, Exit> {
        Ok(n)
    }
}

#[test]
fn a_path_names_both_the_function_and_the_type() {
    assert_eq!(seen(elsewhere::inner).0, <elsewhere::inner as Workflow>::NAME);
}
