//! The typed handle of a workflow with handlers: a trait with a method for each, named as the user's own.

use proc_macro2::Ident;
use quote::{format_ident, quote, quote_spanned};
use syn::{
    Attribute, Error, Lifetime, Pat, Result, Type, TypeReference, Visibility,
    spanned::Spanned,
    visit_mut::{self, VisitMut},
};

use super::{
    OwnName,
    handler::{Handler, Kind, fallible},
};
use crate::{
    Tokens,
    signature::{located, output_type},
};

/// Methods that a client's handle has itself. They go before those of a trait, so a handler of such a name could be
/// reached by path only, and whoever wrote `handle.cancel(…)` would do something else than was meant.
const OF_CLIENTS: &[&str] = &[
    "addressed",
    "cancel",
    "describe",
    "history",
    "id",
    "pinned_to",
    "query",
    "query_payload",
    "result",
    "run_id",
    "signal",
    "signal_payload",
    "terminate",
    "untyped",
    "update",
    "update_handle",
    "update_handle_untyped",
    "update_payload",
];

/// Methods that children and other workflows have themselves, which take signals only.
const OF_WORKFLOWS: &[&str] = &["cancel", "detach", "id", "queue", "result", "run", "run_id", "signal"];

fn is_taken(kind: Kind, method: &Ident) -> bool {
    let method = method.to_string();
    OF_CLIENTS.contains(&method.as_str()) || (kind == Kind::Signal && OF_WORKFLOWS.contains(&method.as_str()))
}

/// The trait, as far as it is put together.
#[derive(Default)]
pub(super) struct Handle {
    methods: Vec<Tokens>,
}

impl Handle {
    /// Adds the method for a handler.
    pub(super) fn add(&mut self, handler: &Handler, workflow: &Ident) -> Result<()> {
        let Handler { kind, name, signature, attributes, argument, .. } = handler;
        let ident = &signature.ident;
        if is_taken(*kind, ident) {
            return Err(Error::new(
                ident.span(),
                format!(
                    "a handle has a method `{ident}` already, which would go before this one; call the method otherwise \
                     and keep the name in messages with `name = \"{name}\"`"
                ),
            ));
        }
        let does = match kind {
            Kind::Signal => "Sends the signal",
            Kind::Query => "Asks the query",
            Kind::Update => "Sends the update",
        };
        let does = format!("{does} `{name}`.");
        let documented = attributes.iter().any(|a| a.path().is_ident("doc"));
        let does = (!documented).then(|| quote!(#[doc = #does]));
        let kept = attributes.iter().filter(|a| {
            let path = a.path();
            path.is_ident("cfg") || path.is_ident("doc") || path.is_ident("deprecated")
        });
        let (parameter, value) = match argument {
            None => (None, quote!(&())),
            Some(argument) => {
                let (pattern, ty) = (plain(&argument.pat), owned(&argument.ty, workflow));
                (Some(quote!(#pattern: #ty)), quote!(&#pattern))
            }
        };
        let (port, output, send) = sending(handler, workflow);
        let bound = (*kind != Kind::Signal).then(|| quote!(where Self: #port));
        self.methods.push(quote_spanned! {located(ident.span())=>
            #(#kept)* #does
            // An operation of a workflow says where it was made.
            #[track_caller]
            fn #ident(&self, #parameter) -> #output #bound {
                <Self as #port>::#send(self, #name, #value)
            }
        });
        Ok(())
    }

    /// The trait, and its implementation for everything that leads to a workflow of this type.
    pub(super) fn tokens(
        &self,
        vis: &Visibility,
        given: Option<Ident>,
        workflow: &Ident,
        conditions: &[&Attribute],
    ) -> Tokens {
        let methods = &self.methods;
        if methods.is_empty() && given.is_none() {
            return Tokens::new();
        }
        let ident = given.unwrap_or_else(|| format_ident!("{workflow}Handle"));
        let port = quote!(::highwater::__private::SignalPort<#workflow>);
        let doc = format!(
            "What can be asked of a running [`{workflow}`], as methods of its handles. A client's handle takes all of it, \
             a child or another workflow signals only."
        );
        quote! {
            #(#conditions)*
            #[doc = #doc]
            #[allow(
                clippy::all, clippy::pedantic, dead_code, non_camel_case_types, private_bounds, private_interfaces,
                unreachable_pub
            )]
            #vis trait #ident: #port {
                #(#methods)*
            }

            #(#conditions)*
            impl<P: #port + ?::core::marker::Sized> #ident for P {}
        }
    }
}

/// The port that a message goes through, what comes of it, and the port's method.
fn sending(handler: &Handler, workflow: &Ident) -> (Tokens, Tokens, Ident) {
    let output = owned(&output_type(&handler.signature), workflow);
    let span = located(output.span());
    match handler.kind {
        Kind::Signal => {
            let port = quote!(::highwater::__private::SignalPort<#workflow>);
            (port.clone(), quote!(<Self as #port>::Sent), format_ident!("send_signal"))
        }
        Kind::Query => {
            let port = quote!(::highwater::__private::QueryPort<#workflow>);
            let asked = quote_spanned!(span=> <Self as #port>::Asked<#output>);
            (port, asked, format_ident!("ask_query"))
        }
        Kind::Update => {
            let port = quote!(::highwater::__private::UpdatePort<#workflow>);
            let fallible = fallible(&output);
            let read = quote!(<#output as ::highwater::__private::UpdateOutput<#fallible>>);
            let updated = quote_spanned!(span=> <Self as #port>::Updated<#read::Ok, #read::Err>);
            (port, updated, format_ident!("send_update"))
        }
    }
}

/// The name of a parameter, whatever pattern takes it apart in the handler itself.
fn plain(pattern: &Pat) -> Ident {
    match pattern {
        Pat::Ident(name) => name.ident.clone(),
        _ => format_ident!("argument"),
    }
}

/// A type of the workflow's `impl` block as somebody far away has it: what was borrowed is owned.
fn owned(ty: &Type, workflow: &Ident) -> Type {
    let mut ty = ty.clone();
    OwnName(workflow).visit_type_mut(&mut ty);
    Owned.visit_type_mut(&mut ty);
    ty
}

struct Owned;

impl VisitMut for Owned {
    fn visit_type_mut(&mut self, ty: &mut Type) {
        if let Type::Reference(TypeReference { elem, .. }) = ty {
            self.visit_type_mut(elem);
            *ty = syn::parse_quote_spanned!(elem.span()=> <#elem as ::std::borrow::ToOwned>::Owned);
        } else {
            visit_mut::visit_type_mut(self, ty);
        }
    }

    fn visit_lifetime_mut(&mut self, lifetime: &mut Lifetime) {
        lifetime.ident = Ident::new("static", lifetime.ident.span());
    }
}

#[cfg(test)]
mod tests {
    use std::{collections::BTreeSet, fs, path::Path};

    use syn::{ImplItem, Item};

    use super::{OF_CLIENTS, OF_WORKFLOWS};

    fn methods(folder: &Path, of: &[&str], found: &mut BTreeSet<String>) {
        for entry in fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                methods(&path, of, found);
            } else if path.extension().is_some_and(|extension| extension == "rs") {
                let file = syn::parse_file(&fs::read_to_string(&path).unwrap()).unwrap();
                file.items.iter().for_each(|item| public_methods(item, of, found));
            }
        }
    }

    fn public_methods(item: &Item, of: &[&str], found: &mut BTreeSet<String>) {
        let Item::Impl(block) = item else { return };
        let syn::Type::Path(owner) = &*block.self_ty else { return };
        let is_handle = owner.path.segments.last().is_some_and(|last| of.iter().any(|name| last.ident == name));
        if block.trait_.is_some() || !is_handle {
            return;
        }
        for item in &block.items {
            if let ImplItem::Fn(method) = item
                && matches!(method.vis, syn::Visibility::Public(_))
                && method.sig.receiver().is_some()
            {
                found.insert(method.sig.ident.to_string());
            }
        }
    }

    #[test]
    fn every_method_of_a_handle_is_a_name_that_no_handler_can_have() {
        let runtime = Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap();
        for (sources, of, taken) in [
            ("client/src", &["WorkflowHandle"][..], OF_CLIENTS),
            ("core/src/context", &["Child", "ExternalWorkflow"], OF_WORKFLOWS),
        ] {
            let mut found = BTreeSet::new();
            methods(&runtime.join(sources), of, &mut found);
            assert!(found.contains("cancel"), "the sources were read: {found:?}");
            let free: Vec<_> = found.iter().filter(|name| !taken.contains(&name.as_str())).collect();
            assert!(free.is_empty(), "these methods of {of:?} belong into the list of those that are taken: {free:?}");
        }
    }
}
