//! `#[activity]` and `#[activities]`.

mod declared;
mod free;
mod methods;

use std::collections::BTreeMap;

use quote::{ToTokens, quote};
use syn::{Error, Ident, Item, ItemFn, Pat, Result, spanned::Spanned};

use crate::{Tokens, options, options::ActivityOptions, signature::ActivitySignature};

/// `#[activities]`
pub(crate) fn block(arguments: Tokens, item: Item) -> Result<Tokens> {
    options::nothing("#[activities]", arguments)?;
    match item {
        Item::Impl(block) => methods::expand(block),
        Item::Trait(block) => declared::expand(block),
        other => Err(Error::new(
            other.span(),
            "#[activities] stands on an `impl` block, or on a trait that declares activities of another process; \
             a function by itself takes #[activity]",
        )),
    }
}

/// `#[activity]` on a function by itself.
pub(crate) fn function(arguments: Tokens, item: Tokens) -> Result<Tokens> {
    let options = ActivityOptions::parse(arguments)?;
    let function: ItemFn = syn::parse2(item).map_err(|error| {
        Error::new(
            error.span(),
            "#[activity] stands on a function with a body, or on a method in an #[activities] block",
        )
    })?;
    if let Some(receiver) = function.sig.receiver() {
        return Err(Error::new_spanned(receiver, "write #[activities] on the `impl` block that this method is in"));
    }
    free::expand(&options, &function)
}

/// The type that carries an activity's name and options.
fn definition(options: &ActivityOptions, signature: &ActivitySignature) -> Tokens {
    let defaults = options.defaults(&options.name_for(signature.name()));
    // Beside the attempt itself, a test's mock of the activity has to judge errors.
    let judge = options.non_retryable.as_ref().map(|pattern| {
        let verdict = if matches!(pattern, Pat::Wild(_)) {
            // The pattern says of no type which one it is.
            quote!({
                let _ = error;
                true
            })
        } else {
            quote!(::highwater::__private::judge(error, |error| ::core::matches!(error, #pattern)))
        };
        quote!(fn non_retryable(error: &dyn ::core::any::Any) -> bool { #verdict })
    });
    quote! {
        #[derive(Debug)]
        struct __HighwaterActivity;
        impl ::highwater::__private::ActivityDef for __HighwaterActivity {
            const DEFAULTS: ::highwater::__private::ActivityDefaults = #defaults;
            #judge
        }
    }
}

/// Lets activities off what the list of `highwater::lints` keeps workflows from.
fn let_off() -> Tokens {
    quote!(#[allow(clippy::disallowed_macros, clippy::disallowed_methods)])
}

/// The activities of one block by name: two of one name are an error.
#[derive(Default)]
struct Names(BTreeMap<String, Ident>);

impl Names {
    fn add(&mut self, options: &ActivityOptions, function: &Ident) -> Result<()> {
        let name = options.name_for(function);
        match self.0.insert(name.clone(), function.clone()) {
            None => Ok(()),
            Some(first) => Err(Error::new(
                options.name.as_ref().map_or(function.span(), Spanned::span),
                format!("`{first}` and `{function}` are both the activity \"{name}\"; give one of them another name"),
            )),
        }
    }
}

/// One activity of a block, with the conditions of compilation that stand on it.
struct Entry {
    conditions: Vec<syn::Attribute>,
    name: String,
    function: Tokens,
    work: Tokens,
}

impl Entry {
    fn new(attributes: &[syn::Attribute], name: String, owner: &Ident, function: &Ident, work: Tokens) -> Self {
        let conditions = attributes.iter().filter(|a| a.path().is_ident("cfg")).cloned().collect();
        let function = format!("{owner}::{function}");
        let function = quote!(::core::concat!(::core::module_path!(), "::", #function));
        Self { conditions, name, function, work }
    }
}

/// `impl ActivitySet` for a type.
fn set(head: &impl ToTokens, clause: Option<&syn::WhereClause>, entries: &[Entry]) -> Tokens {
    let (context, input) = (crate::signature::local("context"), crate::signature::local("input"));
    let names = entries.iter().map(|Entry { conditions, name, function, .. }| {
        quote! {
            #(#conditions)*
            all.push(::highwater::__private::ActivityName { name: #name, function: #function });
        }
    });
    let arms = entries.iter().map(
        |Entry { conditions, name, work, .. }| quote!(#(#conditions)* #name => ::core::option::Option::Some(#work),),
    );
    quote! {
        #head #clause {
            #[allow(clippy::vec_init_then_push)]
            fn activities(&self) -> ::std::vec::Vec<::highwater::__private::ActivityName> {
                let mut all = ::std::vec::Vec::new();
                #(#names)*
                all
            }

            #[allow(unused_variables)]
            fn dispatch(
                self: ::std::sync::Arc<Self>,
                name: &::core::primitive::str,
                #context: &::highwater::__private::ActivityContext,
                #input: &::highwater::__private::Payload,
            ) -> ::core::option::Option<::highwater::__private::Work> {
                match name {
                    #(#arms)*
                    _ => ::core::option::Option::None,
                }
            }
        }
    }
}
