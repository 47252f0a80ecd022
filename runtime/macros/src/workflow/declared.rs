//! `#[workflow]` on what has no body: a workflow whose code is in another process.

use quote::quote;
use syn::{
    Attribute, Error, ForeignItemFn, Ident, ItemTrait, Result, TraitItem, TraitItemFn, Visibility, visit_mut::VisitMut,
};

use super::{
    OwnName, RunSignature,
    block::{Block, Role},
    handle::Handle,
    stateful::no_run,
};
use crate::{Tokens, options::WorkflowOptions};

/// `#[workflow] pub async fn order(ctx: Ctx, input: Order) -> Result<Receipt, Exit<OrderError>>;`
pub(super) fn function(options: WorkflowOptions, function: &ForeignItemFn) -> Result<Tokens> {
    let ForeignItemFn { attrs, vis, sig, .. } = function;
    options.refuse_handle()?;
    let run = RunSignature::parse(sig)?;
    let ident = &sig.ident;
    let conditions: Vec<_> = attrs.iter().filter(|a| a.path().is_ident("cfg")).collect();
    let ty = super::function::own_type(vis, ident, &conditions);
    let definition = run.definition(ident, &conditions, &options.name_for(ident), &quote!(()));
    let declared = run.declared(&quote!(#ident), &ident.to_string());
    Ok(quote!(#ty #definition #(#attrs)* #vis #declared))
}

/// `#[workflow] pub trait Cart { … }`: a type `Cart`, with its handle.
pub(super) fn block(options: WorkflowOptions, mut declaration: ItemTrait) -> Result<Tokens> {
    check(&declaration)?;
    let workflow = declaration.ident.clone();
    let mut block = Block::new();
    for item in &mut declaration.items {
        let TraitItem::Fn(method) = item else {
            return Err(Error::new_spanned(item, "a declared workflow has methods only: #[run] and its handlers"));
        };
        // In a trait `Self` would be whoever implements it; here it is the workflow.
        OwnName(&workflow).visit_signature_mut(&mut method.sig);
        let role = block.method(&mut method.attrs, &Visibility::Inherited, &method.sig)?;
        check_method(method, role)?;
    }
    if let Some(init) = &block.init {
        let text = "the state is made where the code is; a declaration has no #[init]";
        return Err(Error::new(init.method.span(), text));
    }
    block.pair()?;
    if let Some(validator) = block.handlers.iter().find_map(|handler| handler.validator.as_ref()) {
        let text = "an update is judged where the code is; a declaration has no #[validate]";
        return Err(Error::new(validator.method.span(), text));
    }
    let ItemTrait { attrs, vis, .. } = &declaration;
    let Some((run, _)) = block.run.take() else { return Err(no_run(&workflow)) };
    let mut handle = Handle::default();
    for handler in &block.handlers {
        handle.add(handler, &workflow)?;
    }
    let conditions: Vec<&Attribute> = attrs.iter().filter(|a| a.path().is_ident("cfg")).collect();
    let definition = run.definition(&workflow, &conditions, &options.name_for(&workflow), &quote!(()));
    let handle = handle.tokens(vis, options.handle, &workflow, &conditions);
    let path = format!("{workflow}::{}", run.name());
    let declared = run.declared(&quote!(Self), &path);
    let docs = run_docs(&declaration, run.name());
    Ok(quote! {
        #(#attrs)*
        #[derive(Clone, Copy, Debug)]
        #vis enum #workflow {}

        #(#conditions)*
        impl #workflow {
            #(#docs)*
            #vis #declared
        }
        #definition
        #handle
    })
}

fn check(declaration: &ItemTrait) -> Result<()> {
    if !declaration.generics.params.is_empty() {
        return Err(Error::new_spanned(
            &declaration.generics,
            "a workflow is found by its name alone, so its type has no parameters",
        ));
    }
    if !declaration.supertraits.is_empty() {
        return Err(Error::new_spanned(
            &declaration.supertraits,
            "this declares a workflow of another process; it is no trait that a type here could have",
        ));
    }
    Ok(())
}

fn check_method(method: &TraitItemFn, role: Role) -> Result<()> {
    if let Some(body) = &method.default {
        return Err(Error::new_spanned(
            body,
            "a workflow in a trait is declared only; its code is an `impl` block with #[workflow] in the process that runs it",
        ));
    }
    if role == Role::Plain {
        return Err(Error::new(
            method.sig.ident.span(),
            "nobody could call this: in a declared workflow every method is #[run], #[signal], #[query] or #[update]",
        ));
    }
    Ok(())
}

fn run_docs<'a>(declaration: &'a ItemTrait, run: &Ident) -> Vec<&'a Attribute> {
    let of_run = declaration.items.iter().find_map(|item| match item {
        TraitItem::Fn(method) if method.sig.ident == *run => Some(&method.attrs),
        _ => None,
    });
    of_run.into_iter().flatten().filter(|a| a.path().is_ident("doc")).collect()
}
