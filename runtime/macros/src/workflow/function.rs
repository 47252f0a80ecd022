//! `#[workflow]` on a function: the function, and a type of the same name.

use quote::{ToTokens, quote};
use syn::{Attribute, Ident, ItemFn, Result, Visibility};

use super::RunSignature;
use crate::{Tokens, options::WorkflowOptions};

pub(super) fn expand(options: WorkflowOptions, function: ItemFn) -> Result<Tokens> {
    let ItemFn { attrs, vis, sig, block } = function;
    let run = RunSignature::parse(&sig)?;
    let ident = &sig.ident;
    options.refuse_handle()?;
    let name = options.name_for(ident);
    let conditions: Vec<_> = attrs.iter().filter(|a| a.path().is_ident("cfg")).collect();
    let definition = run.definition(ident, &conditions, &name, &quote!(()));
    let tagged = run.tagged(&ident.to_token_stream(), &block);
    let ty = own_type(&vis, ident, &conditions);
    Ok(quote!(#ty #definition #(#attrs)* #vis #tagged))
}

/// The type that stands for the workflow where only a type can, such as in a handle.
pub(super) fn own_type(vis: &Visibility, ident: &Ident, conditions: &[&Attribute]) -> Tokens {
    let doc = format!("The type of the workflow [`{ident}`](fn@{ident}), for handles of its runs.");
    quote! {
        #(#conditions)*
        #[doc = #doc]
        #[allow(non_camel_case_types)]
        #[derive(Clone, Copy, Debug)]
        #vis struct #ident {}
    }
}
