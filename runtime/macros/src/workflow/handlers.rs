//! The handlers in a `#[workflow]` block.

use std::collections::BTreeMap;

use quote::{quote, quote_spanned};
use syn::{
    Attribute, Error, FnArg, Ident, PatType, Result, ReturnType, Signature, Type, ext::IdentExt, spanned::Spanned,
};

use super::handle::{Handle, Handler};

use crate::{
    Tokens,
    options::{arguments, nothing, only_name},
    signature::{located, refuse_qualifiers},
};

/// The handlers found in a block.
pub(super) struct Handlers {
    workflow: Ident,
    init: Option<Init>,
    signals: Handled,
    queries: Handled,
    pub(super) handle: Handle,
}

/// A method with the attribute that makes it a handler.
#[derive(Clone, Copy)]
pub(super) struct Method<'a> {
    pub(super) attribute: &'a Attribute,
    pub(super) attributes: &'a [Attribute],
    pub(super) signature: &'a Signature,
}

impl<'a> Method<'a> {
    fn handler(&self, workflow: &'a Ident, name: &'a str, argument: Option<&'a PatType>) -> Handler<'a> {
        Handler { workflow, attributes: self.attributes, signature: self.signature, name, argument }
    }

    fn conditions(&self) -> Vec<&'a Attribute> {
        self.attributes.iter().filter(|a| a.path().is_ident("cfg")).collect()
    }
}

struct Init {
    method: Ident,
    takes_input: bool,
}

/// Handlers of one kind.
#[derive(Default)]
struct Handled {
    by_name: BTreeMap<String, Ident>,
    arms: Vec<Tokens>,
    names: Vec<String>,
}

impl Handled {
    fn add(&mut self, what: &str, attribute: &Attribute, name: String, method: &Ident) -> Result<()> {
        match self.by_name.insert(name.clone(), method.clone()) {
            None => {
                self.names.push(name);
                Ok(())
            }
            Some(first) => Err(Error::new_spanned(
                attribute,
                format!("`{first}` and `{method}` both take the {what} \"{name}\"; give one of them another name"),
            )),
        }
    }
}

impl Handlers {
    pub(super) fn new(workflow: Ident) -> Self {
        Self {
            workflow,
            init: None,
            signals: Handled::default(),
            queries: Handled::default(),
            handle: Handle::default(),
        }
    }

    pub(super) fn init(&mut self, method: Method<'_>) -> Result<()> {
        let Method { attribute, signature: sig, .. } = method;
        nothing("#[init]", arguments(attribute)?)?;
        if self.init.is_some() {
            return Err(Error::new_spanned(attribute, "a workflow has one #[init]"));
        }
        refuse_qualifiers(sig, "#[init]")?;
        refuse_async(sig, "#[init] makes the state before the run begins, so it cannot await")?;
        let by_reference = |argument: &FnArg| match argument {
            FnArg::Typed(parameter) => matches!(&*parameter.ty, Type::Reference(r) if r.mutability.is_none()),
            FnArg::Receiver(_) => false,
        };
        if sig.inputs.len() > 1 || !sig.inputs.iter().all(by_reference) {
            return Err(Error::new_spanned(
                sig,
                "#[init] takes the input by reference: `fn new(input: &Input) -> Self`",
            ));
        }
        self.init = Some(Init { method: sig.ident.clone(), takes_input: !sig.inputs.is_empty() });
        Ok(())
    }

    pub(super) fn signal(&mut self, method: Method<'_>) -> Result<()> {
        let Method { attribute, signature: sig, .. } = method;
        let name = name(attribute, "#[signal]", sig)?;
        refuse_async(
            sig,
            "a signal changes the state and returns; what takes time belongs in `run`, behind ctx.wait_until",
        )?;
        let argument = argument(sig, true, "a signal takes `&mut self` and at most one argument")?;
        let empty = match &sig.output {
            ReturnType::Default => true,
            ReturnType::Type(_, ty) => matches!(&**ty, Type::Tuple(tuple) if tuple.elems.is_empty()),
        };
        if !empty {
            return Err(Error::new_spanned(&sig.output, "nobody waits for a signal, so it returns nothing"));
        }
        self.signals.add("signal", attribute, name.clone(), &sig.ident)?;
        self.handle.signal(&method.handler(&self.workflow, &name, argument))?;
        let (conditions, method) = (method.conditions(), &sig.ident);
        self.signals.arms.push(match argument {
            None => quote!(#(#conditions)* #name => { self.#method(); ::core::option::Option::Some(::core::result::Result::Ok(())) }),
            Some(argument) => {
                let decode = decode(&argument.ty);
                quote!(#(#conditions)* #name => ::core::option::Option::Some(#decode.map(|argument| self.#method(argument))),)
            }
        });
        Ok(())
    }

    pub(super) fn query(&mut self, method: Method<'_>) -> Result<()> {
        let Method { attribute, signature: sig, .. } = method;
        let name = name(attribute, "#[query]", sig)?;
        refuse_async(sig, "a query reads the state that is there and cannot await")?;
        let argument =
            argument(sig, false, "a query takes `&self`, as it must not change anything, and at most one argument")?;
        self.queries.add("query", attribute, name.clone(), &sig.ident)?;
        self.handle.query(&method.handler(&self.workflow, &name, argument))?;
        let (conditions, method) = (method.conditions(), &sig.ident);
        let span = located(sig.output.span());
        self.queries.arms.push(match argument {
            None => {
                let encode = quote_spanned!(span=> ::highwater::__private::Payload::encode(&self.#method()));
                quote!(#(#conditions)* #name => ::core::option::Option::Some(#encode),)
            }
            Some(argument) => {
                let decode = decode(&argument.ty);
                let encode = quote_spanned!(span=> ::highwater::__private::Payload::encode(&self.#method(argument)));
                quote!(#(#conditions)* #name => ::core::option::Option::Some(#decode.and_then(|argument| #encode)),)
            }
        });
        Ok(())
    }

    /// `impl State`
    pub(super) fn state(&self, workflow: &Type, input: &Type, conditions: &[&Attribute]) -> Tokens {
        let init = match &self.init {
            Some(Init { method, takes_input: true }) => quote!(Self::#method(input)),
            Some(Init { method, takes_input: false }) => quote!({ let _ = input; Self::#method() }),
            None => {
                let initial =
                    quote_spanned!(located(workflow.span())=> ::highwater::__private::initial_state::<#workflow>());
                quote!({ let _ = input; #initial })
            }
        };
        let signal = (!self.signals.arms.is_empty()).then(|| {
            let arms = &self.signals.arms;
            quote! {
                #[allow(unused_variables)]
                fn signal(
                    &mut self,
                    name: &::core::primitive::str,
                    input: &::highwater::__private::Payload,
                ) -> ::core::option::Option<::core::result::Result<(), ::highwater::__private::PayloadError>> {
                    match name { #(#arms)* _ => ::core::option::Option::None }
                }
            }
        });
        let query = (!self.queries.arms.is_empty()).then(|| {
            let Handled { arms, names, .. } = &self.queries;
            quote! {
                #[allow(unused_variables)]
                fn query(
                    &self,
                    name: &::core::primitive::str,
                    input: &::highwater::__private::Payload,
                ) -> ::core::option::Option<
                    ::core::result::Result<::highwater::__private::Payload, ::highwater::__private::PayloadError>,
                > {
                    match name { #(#arms)* _ => ::core::option::Option::None }
                }

                fn queries() -> &'static [&'static ::core::primitive::str] {
                    &[#(#names),*]
                }
            }
        });
        quote! {
            #(#conditions)*
            impl ::highwater::__private::State<#input> for #workflow {
                fn init(input: &#input) -> Self { #init }
                #signal
                #query
            }
        }
    }
}

fn decode(ty: &Type) -> Tokens {
    quote_spanned!(located(ty.span())=> ::highwater::__private::Payload::decode::<#ty>(input))
}

fn name(attribute: &Attribute, what: &str, sig: &Signature) -> Result<String> {
    let given = only_name(what, arguments(attribute)?)?;
    refuse_qualifiers(sig, what)?;
    Ok(given.map_or_else(|| sig.ident.unraw().to_string(), |name| name.value()))
}

fn refuse_async(sig: &Signature, why: &str) -> Result<()> {
    sig.asyncness.as_ref().map_or(Ok(()), |asyncness| Err(Error::new(asyncness.span(), why)))
}

/// The one argument beside the receiver.
fn argument<'a>(sig: &'a Signature, mutable: bool, rule: &str) -> Result<Option<&'a PatType>> {
    let this = sig.receiver().ok_or_else(|| Error::new(sig.ident.span(), rule))?;
    if this.reference.is_none() || (this.mutability.is_some() && !mutable) {
        return Err(Error::new_spanned(this, rule));
    }
    let mut typed = sig.inputs.iter().filter_map(|argument| match argument {
        FnArg::Typed(parameter) => Some(parameter),
        FnArg::Receiver(_) => None,
    });
    let first = typed.next();
    if let Some(reference @ Type::Reference(_)) = first.map(|parameter| &*parameter.ty) {
        return Err(Error::new_spanned(reference, "an argument is decoded, so it is owned: `String`, not `&str`"));
    }
    match typed.next() {
        Some(second) => Err(Error::new_spanned(second, rule)),
        None => Ok(first),
    }
}
