//! `#[workflow]` on an `impl` block: state, handlers, and the method that is the workflow.

use quote::{ToTokens, quote};
use syn::{Error, Ident, ImplItem, ItemImpl, Result, Type, Visibility};

use super::{
    RunSignature,
    handlers::{Handlers, Method},
};
use crate::{
    Tokens,
    options::{WorkflowOptions, arguments, nothing, take_attribute},
    signature::lints,
};

pub(super) fn expand(options: WorkflowOptions, mut block: ItemImpl) -> Result<Tokens> {
    let workflow = workflow_ident(&block)?;
    let mut handlers = Handlers::new(workflow.clone());
    let mut run: Option<(RunSignature, Visibility)> = None;
    let mut items = Vec::new();
    for item in &mut block.items {
        let ImplItem::Fn(method) = item else {
            items.push(item.to_token_stream());
            continue;
        };
        let mut is_run = false;
        let mut is_handler = false;
        for (what, kind) in [("init", Kind::Init), ("run", Kind::Run), ("signal", Kind::Signal), ("query", Kind::Query)]
        {
            let Some(attribute) = take_attribute(&mut method.attrs, what)? else { continue };
            is_handler = true;
            let handler = Method { attribute: &attribute, attributes: &method.attrs, signature: &method.sig };
            match kind {
                Kind::Init => handlers.init(handler)?,
                Kind::Signal => handlers.signal(handler)?,
                Kind::Query => handlers.query(handler)?,
                Kind::Run => {
                    nothing("#[run]", arguments(&attribute)?)?;
                    if run.replace((RunSignature::parse(&method.sig)?, method.vis.clone())).is_some() {
                        return Err(Error::new_spanned(&attribute, "a workflow has one #[run]"));
                    }
                    is_run = true;
                }
            }
        }
        items.push(match &run {
            Some((run, _)) if is_run => {
                let (attrs, vis, tagged) = (&method.attrs, &method.vis, run.tagged(&quote!(Self), &method.block));
                quote!(#(#attrs)* #vis #tagged)
            }
            _ if is_handler => {
                let lints = lints();
                quote!(#lints #method)
            }
            _ => method.to_token_stream(),
        });
    }
    let Some((run, vis)) = run else {
        return Err(Error::new_spanned(
            &block.self_ty,
            "no method in this block is the workflow: write `#[run] async fn run(ctx: Ctx<Self>, input: Input)`",
        ));
    };
    let ItemImpl { attrs, self_ty, .. } = &block;
    let conditions: Vec<_> = attrs.iter().filter(|a| a.path().is_ident("cfg")).collect();
    let name = options.name_for(&workflow);
    let definition = run.definition(&workflow, &conditions, &name, &quote!(Self));
    let state = handlers.state(self_ty, &run.input, &conditions);
    // Whoever can name the workflow to start it can have its handle, and nobody else needs one.
    let handle = handlers.handle.tokens(&vis, options.handle, &workflow, &conditions);
    Ok(quote! {
        #(#attrs)*
        impl #self_ty { #(#items)* }
        #definition
        #state
        #handle
    })
}

#[derive(Clone, Copy)]
enum Kind {
    Init,
    Run,
    Signal,
    Query,
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
