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

/// Makes the methods of an `impl` block, or of a trait, activities.
#[proc_macro_attribute]
pub fn activities(arguments: TokenStream, item: TokenStream) -> TokenStream {
    let item = parse_macro_input!(item as Item);
    expand(activity::block(arguments.into(), item))
}

/// Makes a function an activity; in an `#[activities]` block, a method.
#[proc_macro_attribute]
pub fn activity(arguments: TokenStream, item: TokenStream) -> TokenStream {
    expand(activity::function(arguments.into(), item.into()))
}

/// Makes a function, or an `impl` block with state and handlers, a workflow.
#[proc_macro_attribute]
pub fn workflow(arguments: TokenStream, item: TokenStream) -> TokenStream {
    let item = parse_macro_input!(item as Item);
    expand(workflow::workflow(arguments.into(), item))
}

/// Waits for whichever of several futures ends first.
#[proc_macro]
pub fn select(input: TokenStream) -> TokenStream {
    expand(concurrent::select(input.into()))
}

/// Waits for all of several futures.
#[proc_macro]
pub fn join(input: TokenStream) -> TokenStream {
    expand(concurrent::join(input.into()))
}

/// Waits until all of several futures have a value, or one an error.
#[proc_macro]
pub fn try_join(input: TokenStream) -> TokenStream {
    expand(concurrent::try_join(input.into()))
}
