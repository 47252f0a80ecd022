//! `#[activity]` on a function by itself.

use quote::quote;
use syn::{ItemFn, Result};

use super::{definition, let_off};
use crate::{
    Tokens,
    options::ActivityOptions,
    signature::{ActivitySignature, local},
};

pub(super) fn expand(options: &ActivityOptions, function: &ItemFn) -> Result<Tokens> {
    let ItemFn { attrs, vis, sig, block } = function;
    let signature = ActivitySignature::parse(sig, options.blocking)?;
    let definition = definition(options, &signature);
    let callee = signature.callee(options.blocking);
    let work = signature.work(options, &quote!(#callee), &Tokens::new());
    let (context, input) = (local("context"), local("input"));
    let name = signature.name().to_string();
    let registration = quote! {
        impl ::highwater::__private::FreeDef for __HighwaterActivity {
            const FUNCTION: &'static ::core::primitive::str = ::core::concat!(::core::module_path!(), "::", #name);
            #[allow(unused_variables)]
            fn work(
                #context: &::highwater::__private::ActivityContext,
                #input: &::highwater::__private::Payload,
            ) -> ::highwater::__private::Work {
                #work
            }
        }
    };
    let free = quote!(, Def: ::highwater::__private::FreeDef);
    let tagged = if options.blocking {
        let plain = signature.with_plain_parameters();
        let (hidden, future) = plain.blocking_call(&signature, block);
        plain.tagged(vis, &quote!(#definition #registration #hidden), &future, &free)
    } else {
        signature.tagged(vis, &quote!(#definition #registration), &signature.body(block), &free)
    };
    let let_off = let_off();
    Ok(quote!(#let_off #(#attrs)* #tagged))
}
