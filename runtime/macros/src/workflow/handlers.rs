//! The handlers in a `#[workflow]` block.

use std::collections::BTreeMap;

use quote::{quote, quote_spanned};
use syn::{
    Attribute, Error, FnArg, Ident, ImplItemFn, Result, ReturnType, Signature, Type, ext::IdentExt, spanned::Spanned,
};

use crate::{
    Tokens,
    options::{arguments, nothing, only_name},
    signature::{located, refuse_qualifiers},
};

/// The handlers found in a block.
#[derive(Default)]
pub(super) struct Handlers {
    init: Option<Init>,
    signals: Handled,
    queries: Handled,
    /// What adds them, in the order in which they are written.
    added: Vec<Tokens>,
}

struct Init {
    method: Ident,
    takes_input: bool,
}

/// Handlers of one kind.
#[derive(Default)]
struct Handled {
    by_name: BTreeMap<String, Ident>,
}

impl Handled {
    fn add(&mut self, what: &str, attribute: &Attribute, name: String, method: &Ident) -> Result<()> {
        match self.by_name.insert(name.clone(), method.clone()) {
            None => Ok(()),
            Some(first) => Err(Error::new_spanned(
                attribute,
                format!("`{first}` and `{method}` both take the {what} \"{name}\"; give one of them another name"),
            )),
        }
    }
}

impl Handlers {
    pub(super) fn init(&mut self, attribute: &Attribute, method: &ImplItemFn) -> Result<()> {
        nothing("#[init]", arguments(attribute)?)?;
        if self.init.is_some() {
            return Err(Error::new_spanned(attribute, "a workflow has one #[init]"));
        }
        let sig = &method.sig;
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

    pub(super) fn signal(&mut self, attribute: &Attribute, method: &ImplItemFn) -> Result<()> {
        let sig = &method.sig;
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
        let conditions = conditions(method);
        let method = &sig.ident;
        let known_as = known_as(method);
        self.added.push(match argument {
            None => quote! {
                #(#conditions)*
                handlers.signal(#name, #known_as, |state: &mut Self, _: ::highwater::__private::NoArgument| state.#method());
            },
            Some(ty) => quote_spanned! {located(ty.span())=>
                #(#conditions)*
                handlers.signal(#name, #known_as, |state: &mut Self, argument: #ty| state.#method(argument));
            },
        });
        Ok(())
    }

    pub(super) fn query(&mut self, attribute: &Attribute, method: &ImplItemFn) -> Result<()> {
        let sig = &method.sig;
        let name = name(attribute, "#[query]", sig)?;
        refuse_async(sig, "a query reads the state that is there and cannot await")?;
        let argument =
            argument(sig, false, "a query takes `&self`, as it must not change anything, and at most one argument")?;
        self.queries.add("query", attribute, name.clone(), &sig.ident)?;
        let conditions = conditions(method);
        let method = &sig.ident;
        let known_as = known_as(method);
        let span = located(sig.output.span());
        self.added.push(match argument {
            None => quote_spanned! {span=>
                #(#conditions)*
                handlers.query(#name, #known_as, |state: &Self, _: ::highwater::__private::NoArgument| state.#method());
            },
            Some(ty) => quote_spanned! {span=>
                #(#conditions)*
                handlers.query(#name, #known_as, |state: &Self, argument: #ty| state.#method(argument));
            },
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
        let added = &self.added;
        let handlers = (!added.is_empty()).then(|| {
            quote! {
                fn handlers(handlers: &mut ::highwater::__private::Handlers<Self>) {
                    #(#added)*
                }
            }
        });
        quote! {
            #(#conditions)*
            impl ::highwater::__private::State<#input> for #workflow {
                fn init(input: &#input) -> Self { #init }
                #handlers
            }
        }
    }
}

/// The method as errors name it.
fn known_as(method: &Ident) -> Tokens {
    let method = method.to_string();
    quote!(::core::concat!(::core::module_path!(), "::", #method))
}

fn conditions(method: &ImplItemFn) -> Vec<&Attribute> {
    method.attrs.iter().filter(|a| a.path().is_ident("cfg")).collect()
}

fn name(attribute: &Attribute, what: &str, sig: &Signature) -> Result<String> {
    let given = only_name(what, arguments(attribute)?)?;
    refuse_qualifiers(sig, what)?;
    Ok(given.map_or_else(|| sig.ident.unraw().to_string(), |name| name.value()))
}

fn refuse_async(sig: &Signature, why: &str) -> Result<()> {
    sig.asyncness.as_ref().map_or(Ok(()), |asyncness| Err(Error::new(asyncness.span(), why)))
}

/// The type of the one argument beside the receiver.
fn argument(sig: &Signature, mutable: bool, rule: &str) -> Result<Option<Type>> {
    let this = sig.receiver().ok_or_else(|| Error::new(sig.ident.span(), rule))?;
    if this.reference.is_none() || (this.mutability.is_some() && !mutable) {
        return Err(Error::new_spanned(this, rule));
    }
    let mut typed = sig.inputs.iter().filter_map(|argument| match argument {
        FnArg::Typed(parameter) => Some(parameter),
        FnArg::Receiver(_) => None,
    });
    let first = typed.next().map(|parameter| (*parameter.ty).clone());
    if let Some(reference @ Type::Reference(_)) = &first {
        return Err(Error::new_spanned(reference, "an argument is decoded, so it is owned: `String`, not `&str`"));
    }
    match typed.next() {
        Some(second) => Err(Error::new_spanned(second, rule)),
        None => Ok(first),
    }
}
