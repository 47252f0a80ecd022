//! `impl State`: how a workflow's state begins, and its handlers.

use proc_macro2::Ident;
use quote::{quote, quote_spanned};
use syn::{Attribute, Type, spanned::Spanned};

use super::block::{Block, Init};
use crate::{Tokens, signature::located};

/// `impl State`
pub(super) fn state(block: &Block, workflow: &Ident, input: &Type, conditions: &[&Attribute]) -> Tokens {
    let init = match &block.init {
        Some(Init { method, takes_input: true }) => quote!(Self::#method(input)),
        Some(Init { method, takes_input: false }) => quote!({ let _ = input; Self::#method() }),
        None => {
            let initial =
                quote_spanned!(located(workflow.span())=> ::highwater::__private::initial_state::<#workflow>());
            quote!({ let _ = input; #initial })
        }
    };
    let handlers = (!block.handlers.is_empty()).then(|| {
        let registrations = block.handlers.iter().map(|handler| handler.registration(workflow));
        quote! {
            fn handlers(handlers: &mut ::highwater::__private::Handlers<Self>) {
                #(#registrations)*
            }
        }
    });
    let input = quote_spanned!(located(input.span())=> #input);
    quote! {
        #(#conditions)*
        impl ::highwater::__private::State<#input> for #workflow {
            fn init(input: &#input) -> Self { #init }
            #handlers
        }
    }
}
