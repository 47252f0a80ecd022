//! `#[workflow]` on a function: the function, and a type of the same name.

use quote::{ToTokens, quote};
use syn::{ItemFn, LitStr, Result, ext::IdentExt};

use super::RunSignature;
use crate::Tokens;

pub(super) fn expand(name: Option<LitStr>, function: ItemFn) -> Result<Tokens> {
    let ItemFn { attrs, vis, sig, block } = function;
    let run = RunSignature::parse(&sig)?;
    let ident = &sig.ident;
    let name = name.map_or_else(|| ident.unraw().to_string(), |name| name.value());
    let conditions: Vec<_> = attrs.iter().filter(|a| a.path().is_ident("cfg")).collect();
    let definition = run.definition(ident, &conditions, &name, &quote!(()));
    let tagged = run.tagged(&ident.to_token_stream(), &block);
    let doc = format!("The type of the workflow [`{ident}`](fn@{ident}), for handles of its runs.");
    Ok(quote! {
        #(#conditions)*
        #[doc = #doc]
        #[allow(non_camel_case_types)]
        #[derive(Clone, Copy, Debug)]
        #vis struct #ident {}

        #definition

        #(#attrs)* #vis #tagged
    })
}
