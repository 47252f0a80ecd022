//! `#[workflow]` on an `impl` block: state, handlers, and the method that is the workflow.

use quote::{ToTokens, quote};
use syn::{Error, Ident, ImplItem, ItemImpl, Result, Type};

use super::{
    block::{Block, Role},
    handle::Handle,
    state::state,
};
use crate::{Tokens, options::WorkflowOptions, signature::lints};

pub(super) fn expand(options: WorkflowOptions, mut item: ItemImpl) -> Result<Tokens> {
    let workflow = workflow_ident(&item)?;
    let mut block = Block::new();
    let mut items = Vec::new();
    for item in &mut item.items {
        let ImplItem::Fn(method) = item else {
            items.push(item.to_token_stream());
            continue;
        };
        let role = block.method(&mut method.attrs, &method.vis, &method.sig)?;
        items.push(match (role, &block.run) {
            (Role::Run, Some((run, _))) => {
                let (attrs, vis, tagged) = (&method.attrs, &method.vis, run.tagged(&quote!(Self), &method.block));
                quote!(#(#attrs)* #vis #tagged)
            }
            (Role::Handler, _) => {
                let lints = lints();
                quote!(#lints #method)
            }
            _ => method.to_token_stream(),
        });
    }
    block.pair()?;
    let Some((run, vis)) = block.run.take() else { return Err(no_run(&item.self_ty)) };
    let mut handle = Handle::default();
    for handler in &block.handlers {
        handle.add(handler, &workflow)?;
    }
    let ItemImpl { attrs, self_ty, .. } = &item;
    let conditions: Vec<_> = attrs.iter().filter(|a| a.path().is_ident("cfg")).collect();
    let definition = run.definition(&workflow, &conditions, &options.name_for(&workflow), &quote!(Self));
    let state = state(&block, &workflow, &run.input, &conditions);
    // Whoever can name the workflow to start it can have its handle, and nobody else needs one.
    let handle = handle.tokens(&vis, options.handle, &workflow, &conditions);
    Ok(quote! {
        #(#attrs)*
        impl #self_ty { #(#items)* }
        #definition
        #state
        #handle
    })
}

pub(super) fn no_run(at: &impl ToTokens) -> Error {
    Error::new_spanned(
        at,
        "no method in this block is the workflow: write `#[run] async fn run(ctx: Ctx<Self>, input: Input)`",
    )
}

/// The type's own name.
fn workflow_ident(block: &ItemImpl) -> Result<Ident> {
    if let Some((_, path, _)) = &block.trait_ {
        return Err(Error::new_spanned(path, "#[workflow] stands on an inherent `impl` block: `impl Cart { … }`"));
    }
    if !block.generics.params.is_empty() {
        return Err(Error::new_spanned(
            &block.generics,
            "a workflow is found by its name alone, so its type has no parameters",
        ));
    }
    match &*block.self_ty {
        Type::Path(path) if path.qself.is_none() => path
            .path
            .get_ident()
            .cloned()
            .ok_or_else(|| Error::new_spanned(path, "write the type's own name here, without a path")),
        other => Err(Error::new_spanned(other, "a workflow's state is a struct or an enum of yours")),
    }
}
