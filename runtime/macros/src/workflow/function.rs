//! `#[workflow]` on a function: the function, and a type of the same name.

use quote::{ToTokens, quote};
use syn::{Error, ItemFn, Result};

use super::RunSignature;
use crate::{Tokens, options::WorkflowOptions};

pub(super) fn expand(options: WorkflowOptions, function: ItemFn) -> Result<Tokens> {
    let ItemFn { attrs, vis, sig, block } = function;
    let run = RunSignature::parse(&sig)?;
    let ident = &sig.ident;
    if let Some(handle) = options.handle {
        return Err(Error::new(
            handle.span(),
            "a function has no handlers, so there is no handle to name; write an `impl` block with #[signal], #[query] \
             or #[update] methods",
        ));
    }
    let name = options.name_for(ident);
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
