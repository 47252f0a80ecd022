//! The attribute macros of Highwater. Use them through the `highwater` crate.
//!
//! - `options`: what stands in the parentheses of an attribute.
//! - `signature`: the parameters of an activity, and how it becomes a function that returns a tagged future.
//! - `activity`: `#[activity]` and `#[activities]`, on functions, `impl` blocks and traits.
//! - `workflow`: `#[workflow]`, on functions and `impl` blocks.
//! - `concurrent`: `select!`, `join!` and `try_join!`.
//!
//! Nothing here decides by the spelling of a type what it is: types go into expansions as they were written, and traits
//! resolve them. The one exception is a reference as an activity's first parameter, which is its context.

#![deny(missing_docs)]

mod activity;
mod concurrent;
mod options;
mod signature;
mod workflow;

use proc_macro::TokenStream;
use syn::{Error, Item, parse_macro_input};

/// What a macro's code is made of.
type Tokens = proc_macro2::TokenStream;

fn expand(result: syn::Result<Tokens>) -> TokenStream {
    result.unwrap_or_else(Error::into_compile_error).into()
}

/// Makes the methods of an `impl` block activities that share the fields of its type.
///
/// Every method marked `#[activity]` stays a method that can be called and awaited; beyond that a workflow can name it,
/// `ctx.run(Shop::charge, order)`, and a worker can run it, `worker.activities(shop)`. Methods without the mark, and
/// constants, stay as they are. The options are those of [`macro@activity`].
///
/// ```
/// # extern crate highwater_core as highwater;
/// # use highwater_macros::{activities, workflow};
/// # use highwater::{ActivityContext, Ctx, Exit};
/// # struct Database;
/// pub struct Shop {
///     database: Database,
/// }
///
/// #[activities]
/// impl Shop {
///     #[activity(start_to_close = "10s", retry(maximum_attempts = 5))]
///     pub async fn charge(&self, cents: u64) -> Result<String, String> {
///         Ok(format!("receipt for {cents}"))
///     }
///
///     /// The context tells the attempt, takes heartbeats, and knows when to stop.
///     #[activity(heartbeat = "5s")]
///     pub async fn import(&self, cx: &ActivityContext, rows: Vec<u64>) -> Result<(), String> {
///         for row in rows {
///             cx.heartbeat(&row);
///         }
///         Ok(())
///     }
///
///     /// Code that blocks has a thread of its own, and is awaited like the others.
///     #[activity(blocking, queue = "gpu")]
///     pub fn resize(&self, image: Vec<u8>) -> Result<Vec<u8>, String> {
///         Ok(image)
///     }
/// }
///
/// #[workflow]
/// async fn order(ctx: Ctx, cents: u64) -> Result<String, Exit> {
///     Ok(ctx.run(Shop::charge, cents).await?)
/// }
/// ```
///
/// # Activities of another process
///
/// On a trait it declares activities without their bodies. For a trait `Billing` there is `BillingCalls` then: a
/// workflow names `BillingCalls::refund`, and the process that implements the trait registers `BillingCalls(acme)`.
///
/// ```
/// # extern crate highwater_core as highwater;
/// # use highwater_macros::{activities, workflow};
/// # use highwater::{Ctx, Exit};
/// #[activities]
/// pub trait Billing {
///     #[activity(start_to_close = "1m")]
///     async fn refund(&self, cents: u64) -> Result<String, String>;
/// }
///
/// #[workflow]
/// async fn give_back(ctx: Ctx, cents: u64) -> Result<String, Exit> {
///     Ok(ctx.run(BillingCalls::refund, cents).await?)
/// }
///
/// // In the other process:
/// struct Acme;
///
/// impl Billing for Acme {
///     async fn refund(&self, cents: u64) -> Result<String, String> {
///         Ok(format!("gave {cents} back"))
///     }
/// }
/// # let _ = BillingCalls(Acme);
/// ```
#[proc_macro_attribute]
pub fn activities(arguments: TokenStream, item: TokenStream) -> TokenStream {
    let item = parse_macro_input!(item as Item);
    expand(activity::block(arguments.into(), item))
}

/// Makes a function an activity; in an [`macro@activities`] block, a method.
///
/// An activity is an `async fn` with at most one input, after an optional `&ActivityContext`, that returns a `Result`.
/// Input and value go through `serde`; the error is shown and read back with its own type. It is tried again until its
/// retry policy says otherwise.
///
/// | option | what it says |
/// |---|---|
/// | `name = "charge-card"` | the name in histories and tasks; that of the function otherwise |
/// | `queue = "gpu"` | the queue whose workers run it; that of the calling run otherwise |
/// | `start_to_close = "10s"` | the longest single attempt |
/// | `schedule_to_start = "1m"` | the longest wait for a worker to take it |
/// | `schedule_to_close = "1h"` | the longest time for all attempts and the waits between them |
/// | `heartbeat = "5s"` | the longest silence between two heartbeats |
/// | `retry(initial_interval = "1s", backoff_coefficient = 2.0, maximum_interval = "100s", maximum_attempts = 5, jitter = 0.1)` | how failed attempts follow each other; each part has a default |
/// | `non_retryable = ChargeError::Declined { .. } \| ChargeError::Fraud` | a pattern: errors after which no further attempt follows |
/// | `blocking` | a `fn` that blocks its thread, and so gets one of its own |
///
/// Durations are written as `"1h 30m"`, `"10s"` or `"250ms"`. A call can set each of them anew:
/// `ctx.run(Shop::charge, order).start_to_close(…)`.
///
/// ```
/// # extern crate highwater_core as highwater;
/// use highwater::activity::FreeActivities;
/// # use highwater_macros::activity;
///
/// #[derive(Debug, serde::Serialize, serde::Deserialize, thiserror::Error)]
/// enum ChargeError {
///     #[error("the card was declined")]
///     Declined,
///     #[error("the bank is busy")]
///     Busy,
/// }
///
/// #[activity(start_to_close = "10s", non_retryable = ChargeError::Declined)]
/// async fn charge(cents: u64) -> Result<String, ChargeError> {
///     if cents == 0 { Err(ChargeError::Declined) } else { Ok("receipt".into()) }
/// }
///
/// // Functions of their own are registered together.
/// let set = FreeActivities::new().with(charge);
/// ```
#[proc_macro_attribute]
pub fn activity(arguments: TokenStream, item: TokenStream) -> TokenStream {
    expand(activity::function(arguments.into(), item.into()))
}

/// Makes a function, or an `impl` block with state and handlers, a workflow.
///
/// A workflow is an `async fn` that takes its context and at most one input and returns a `Result`; with the error
/// `Exit<YourError>` the question mark passes on failed calls and cancellation. There is a type of the same name then,
/// for handles. The option `name = "…"` is the name in histories; that of the function or type otherwise.
///
/// ```
/// # extern crate highwater_core as highwater;
/// # use highwater_macros::workflow;
/// # use highwater::{Ctx, Exit};
/// # use std::time::Duration;
/// #[workflow]
/// async fn reminder(ctx: Ctx, days: u64) -> Result<String, Exit> {
///     ctx.sleep(Duration::from_secs(days * 24 * 3600)).await?;
///     Ok("it is time".into())
/// }
/// ```
///
/// # With state
///
/// On an `impl` block, `#[run]` marks the workflow, whose context gives access to the state: `ctx.read(…)`,
/// `ctx.update(…)`, `ctx.wait_until(…)`. The other attributes mark what takes messages while it runs. All of these stay
/// methods that can be called.
///
/// | attribute | signature | what it is |
/// |---|---|---|
/// | `#[init]` | `fn(&Input) -> Self` | makes the state; without it the state is the `Default` |
/// | `#[signal]` | `fn(&mut self, A)` | changes the state when a signal of this name comes in |
/// | | `async fn(Ctx<Self>, A)` | the same, with operations: it runs beside `run` |
/// | `#[query]` | `fn(&self, A) -> R` | answers from the state |
/// | `#[update]` | `fn(&mut self, A) -> R` | changes the state and answers; `R` is a value or a `Result` |
/// | | `async fn(Ctx<Self>, A) -> R` | the same, with operations; with `Result<T, Exit<E>>` the question mark works as in `run` |
/// | `#[validate(method)]` | `fn(&self, &A) -> Result<(), E>` | looks at the arguments of that update before it is accepted; an error refuses it |
///
/// Each takes one argument `A`, or none. A message whose argument does not fit is told to its sender, or kept, and
/// never fails the run. Options of handlers: `name = "…"`, the name in messages, that of the method otherwise; and for
/// those that await `unfinished = "abandon"`: the run ends without waiting for this handler to return.
///
/// A trait `CartHandle`, as visible as the `#[run]` method, has a method for each handler, named as yours. With it in
/// scope the handle of a run takes messages like calls, `cart.add("book".into()).await?`, and so do, for signals,
/// children and other workflows. The option `handle = …` gives the trait another name.
///
/// ```
/// # extern crate highwater_core as highwater;
/// # use highwater_macros::{activity, workflow};
/// # use highwater::{Ctx, Exit};
/// # #[activity]
/// # async fn price(item: String) -> Result<u64, String> { Ok(5) }
/// #[derive(Debug)]
/// pub struct Cart {
///     items: Vec<String>,
///     cents: u64,
///     paid: bool,
/// }
///
/// #[workflow(name = "cart")]
/// impl Cart {
///     #[init]
///     fn new(first: &String) -> Self {
///         Self { items: vec![first.clone()], cents: 0, paid: false }
///     }
///
///     #[run]
///     pub async fn run(ctx: Ctx<Self>, _first: String) -> Result<u64, Exit> {
///         ctx.wait_until(|cart| cart.paid).await?;
///         Ok(ctx.read(|cart| cart.cents))
///     }
///
///     #[signal]
///     pub fn pay(&mut self) {
///         self.paid = true;
///     }
///
///     #[query]
///     pub fn items(&self) -> &[String] {
///         &self.items
///     }
///
///     /// Puts an item in, and tells what all of them cost.
///     #[update]
///     pub async fn add(ctx: Ctx<Self>, item: String) -> Result<u64, Exit> {
///         let cents = ctx.run(price, item.clone()).await?;
///         Ok(ctx.update(|cart| {
///             cart.items.push(item);
///             cart.cents += cents;
///             cart.cents
///         }))
///     }
///
///     #[validate(add)]
///     fn may_add(&self, item: &str) -> Result<(), String> {
///         if self.paid { Err(format!("it is too late for {item}")) } else { Ok(()) }
///     }
/// }
/// ```
///
/// # Workflows of another process
///
/// Without its code a workflow is declared only: as a function that ends in `;`, or as a trait with the signatures of
/// the block. Clients start it and workflows call it as if it were here, with its types; a worker cannot run it.
///
/// ```
/// # extern crate highwater_core as highwater;
/// # use highwater_macros::workflow;
/// # use highwater::{Ctx, Exit};
/// #[workflow(name = "ship-parcel")]
/// pub async fn ship(ctx: Ctx, address: String) -> Result<u64, Exit>;
///
/// #[workflow(name = "depot")]
/// pub trait Depot {
///     #[run]
///     async fn run(ctx: Ctx<Self>, city: String) -> Result<(), Exit>;
///
///     #[signal]
///     fn hold(&mut self, reason: String);
///
///     #[query]
///     fn place(&self) -> String;
/// }
/// ```
#[proc_macro_attribute]
pub fn workflow(arguments: TokenStream, item: TokenStream) -> TokenStream {
    let item = parse_macro_input!(item as Item);
    expand(workflow::workflow(arguments.into(), item))
}

/// Waits for whichever of several futures ends first, and goes on with its branch.
///
/// They are polled in the order in which they are written, always, so of several that are ready the first one wins, and
/// replay comes to the same. All futures are dropped before the branch's body begins, in the written order: a durable
/// operation that lost is cancelled by then. To keep one for later, make it first and name it as `&mut operation`.
///
/// A body may use `?`, `break`, `continue`, `return` and `.await`. Patterns must match every output. A future that
/// ended in an earlier `select!` stays pending.
///
/// ```
/// # extern crate highwater_core as highwater;
/// # use highwater_macros::{select, workflow};
/// # use highwater::{Ctx, Exit};
/// # use std::time::Duration;
/// #[workflow]
/// async fn approval(ctx: Ctx) -> Result<bool, Exit> {
///     let mut deadline = ctx.sleep(Duration::from_secs(3600));
///     loop {
///         select! {
///             vote = ctx.signals::<bool>("vote").recv() => {
///                 if vote? {
///                     return Ok(true);
///                 }
///             }
///             passed = &mut deadline => {
///                 passed?;
///                 return Ok(false);
///             }
///         }
///     }
/// }
/// ```
#[proc_macro]
pub fn select(input: TokenStream) -> TokenStream {
    expand(concurrent::select(input.into()))
}

/// Waits for all of several futures and gives their outputs as a tuple.
///
/// All are under way before the first is awaited; they are polled in the order in which they are written. For a list of
/// futures there is `join_all`.
///
/// ```
/// # extern crate highwater_core as highwater;
/// # use highwater_macros::{activity, join, workflow};
/// # use highwater::{Ctx, Exit};
/// # #[activity]
/// # async fn price(item: String) -> Result<u64, String> { Ok(5) }
/// #[workflow]
/// async fn total(ctx: Ctx) -> Result<u64, Exit> {
///     let (book, pen) = join!(ctx.run(price, "book".into()), ctx.run(price, "pen".into()));
///     Ok(book? + pen?)
/// }
/// ```
#[proc_macro]
pub fn join(input: TokenStream) -> TokenStream {
    expand(concurrent::join(input.into()))
}

/// Waits until all of several futures have a value, or one an error: then the others are dropped, which cancels them.
///
/// The errors are of one type. Otherwise as [`join!`].
///
/// ```
/// # extern crate highwater_core as highwater;
/// # use highwater_macros::{activity, try_join, workflow};
/// # use highwater::{Ctx, Exit};
/// # #[activity]
/// # async fn price(item: String) -> Result<u64, String> { Ok(5) }
/// #[workflow]
/// async fn total(ctx: Ctx) -> Result<u64, Exit> {
///     let (book, pen) = try_join!(ctx.run(price, "book".into()), ctx.run(price, "pen".into()))?;
///     Ok(book + pen)
/// }
/// ```
#[proc_macro]
pub fn try_join(input: TokenStream) -> TokenStream {
    expand(concurrent::try_join(input.into()))
}
