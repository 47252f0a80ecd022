//! `#[workflow]`.

mod block;
mod declared;
mod function;
mod handle;
mod handler;
mod state;
mod stateful;

use proc_macro2::Ident;
use quote::{quote, quote_spanned};
use syn::{
    Error, FnArg, Item, PatType, Path, Result, Signature, Type,
    spanned::Spanned,
    visit_mut::{self, VisitMut},
};

use crate::{
    Tokens,
    options::WorkflowOptions,
    signature::{located, output_type, refuse_qualifiers},
};

/// `#[workflow]`
pub(crate) fn workflow(arguments: Tokens, item: Item) -> Result<Tokens> {
    let options = WorkflowOptions::parse(arguments)?;
    match item {
        Item::Fn(function) => function::expand(options, function),
        Item::Impl(block) => stateful::expand(options, block),
        Item::Trait(declaration) => declared::block(options, declaration),
        Item::Verbatim(tokens) => match syn::parse2(tokens.clone()) {
            Ok(function) => declared::function(options, &function),
            Err(_) => Err(misplaced(&tokens)),
        },
        other => Err(misplaced(&other)),
    }
}

fn misplaced(item: &impl Spanned) -> Error {
    Error::new(
        item.span(),
        "#[workflow] stands on an `async fn`, on an `impl` block with a #[run] method, or on either without its code: a \
         function that ends in `;`, or a trait",
    )
}

/// Puts the workflow's own name in the place of `Self`.
struct OwnName<'a>(&'a Ident);

impl VisitMut for OwnName<'_> {
    fn visit_path_mut(&mut self, path: &mut Path) {
        if let Some(first) = path.segments.first_mut()
            && first.ident == "Self"
        {
            let span = first.ident.span();
            first.ident = self.0.clone();
            first.ident.set_span(span);
        }
        visit_mut::visit_path_mut(self, path);
    }
}

/// The function that is the workflow, taken apart.
struct RunSignature {
    signature: Signature,
    input: Type,
    output: Type,
}

impl RunSignature {
    fn parse(signature: &Signature) -> Result<Self> {
        refuse_qualifiers(signature, "a workflow")?;
        if signature.asyncness.is_none() {
            return Err(Error::new(signature.fn_token.span(), "a workflow is an `async fn`"));
        }
        let mut typed: Vec<&PatType> = Vec::new();
        for argument in &signature.inputs {
            match argument {
                FnArg::Receiver(this) => {
                    return Err(Error::new_spanned(
                        this,
                        "a workflow takes its context, not `self`: `async fn run(ctx: Ctx<Self>, input: Input)`; \
                         its state is `ctx.read(|state| …)` and `ctx.update(|state| …)`",
                    ));
                }
                FnArg::Typed(parameter) => typed.push(parameter),
            }
        }
        if typed.is_empty() {
            return Err(Error::new(
                signature.ident.span(),
                "a workflow takes its context first: `async fn order(ctx: Ctx, order: Order)`",
            ));
        }
        if let Some(third) = typed.get(2) {
            return Err(Error::new_spanned(
                third,
                "a workflow has one input beside its context; put several values into a struct or a tuple",
            ));
        }
        if let Some(reference) = typed.iter().find(|p| matches!(&*p.ty, Type::Reference(_))) {
            return Err(Error::new_spanned(
                &reference.ty,
                "a workflow owns its context and its input, as it outlives every caller",
            ));
        }
        let input =
            typed.get(1).map_or_else(|| syn::parse_quote_spanned!(signature.ident.span()=> ()), |p| (*p.ty).clone());
        Ok(Self { signature: signature.clone(), input, output: output_type(signature) })
    }

    fn name(&self) -> &Ident {
        &self.signature.ident
    }

    /// The function of a workflow whose code is elsewhere: there to be named, not to be called.
    fn declared(&self, workflow: &Tokens, path: &str) -> Tokens {
        let Self { signature, input, output } = self;
        let ident = &signature.ident;
        let input = (signature.inputs.len() > 1).then(|| quote!(_: #input));
        quote_spanned! {located(ident.span())=>
            fn #ident(_: ::highwater::__private::Ctx, #input)
                -> impl ::highwater::__private::WorkflowRun<Workflow = #workflow, Output = #output>
            {
                ::highwater::__private::Declared::<#workflow, #output>::new(#path)
            }
        }
    }

    /// The function as one that returns a future with the workflow's type on it.
    fn tagged(&self, workflow: &Tokens, body: &syn::Block) -> Tokens {
        let Signature { ident, generics, inputs, .. } = &self.signature;
        let output = &self.output;
        let future = crate::signature::returning(output, body);
        quote_spanned! {located(ident.span())=>
            fn #ident #generics(#inputs)
                -> impl ::highwater::__private::WorkflowBody<Workflow = #workflow, Output = #output>
            {
                ::highwater::__private::tag_run::<#workflow, _>(#future)
            }
        }
    }

    /// `impl Workflow`
    fn definition(&self, workflow: &Ident, conditions: &[&syn::Attribute], name: &str, state: &Tokens) -> Tokens {
        let Self { input, output, .. } = self;
        let (of_input, of_output) = (located(input.span()), located(output.span()));
        let input = quote_spanned!(of_input=> #input);
        let ok = quote_spanned!(of_output=> <#output as ::highwater::__private::Conclude>::Ok);
        let err = quote_spanned!(of_output=> <#output as ::highwater::__private::Conclude>::Err);
        quote_spanned! {located(workflow.span())=>
            #(#conditions)*
            impl ::highwater::__private::Workflow for #workflow {
                type Input = #input;
                type Ok = #ok;
                type Err = #err;
                type State = #state;
                const NAME: &'static ::core::primitive::str = #name;
            }
        }
    }
}
