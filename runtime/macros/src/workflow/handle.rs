//! The typed handle of a workflow with handlers: a trait with a method for each, named as the user's own.

use proc_macro2::Ident;
use quote::{format_ident, quote, quote_spanned};
use syn::{
    Attribute, Error, Lifetime, Pat, PatType, Path, Result, Signature, Type, TypeReference, Visibility,
    spanned::Spanned,
    visit_mut::{self, VisitMut},
};

use crate::{
    Tokens,
    signature::{located, output_type},
};

/// Methods that handles have themselves. They go before those of a trait, so a handler of such a name could be reached by
/// path only, and whoever wrote `handle.cancel(…)` would do something else than was meant.
const TAKEN: &[&str] = &[
    "addressed",
    "cancel",
    "describe",
    "history",
    "id",
    "op",
    "pinned_to",
    "query",
    "query_payload",
    "result",
    "run_id",
    "signal",
    "signal_payload",
    "terminate",
    "update",
    "update_handle",
];

/// The trait, as far as it is put together.
#[derive(Default)]
pub(super) struct Handle {
    methods: Vec<Tokens>,
}

/// A handler, as the handle has it.
pub(super) struct Handler<'a> {
    pub(super) workflow: &'a Ident,
    pub(super) attributes: &'a [Attribute],
    pub(super) signature: &'a Signature,
    /// The name that messages carry.
    pub(super) name: &'a str,
    pub(super) argument: Option<&'a PatType>,
}

impl Handle {
    pub(super) fn signal(&mut self, handler: &Handler<'_>) -> Result<()> {
        let workflow = handler.workflow;
        let port = quote!(::highwater::__private::SignalPort<#workflow>);
        let does = format!("Sends the signal `{}`.", handler.name);
        self.add(handler, &does, &quote!(<Self as #port>::Sent), None, &quote!(<Self as #port>::send_signal))
    }

    pub(super) fn query(&mut self, handler: &Handler<'_>) -> Result<()> {
        let workflow = handler.workflow;
        let port = quote!(::highwater::__private::QueryPort<#workflow>);
        let answer = owned(&output_type(handler.signature), workflow);
        let answer = quote_spanned!(located(answer.span())=> <Self as #port>::Asked<#answer>);
        let does = format!("Asks the query `{}`.", handler.name);
        self.add(handler, &does, &answer, Some(&port), &quote!(<Self as #port>::ask_query))
    }

    fn add(
        &mut self,
        handler: &Handler<'_>,
        does: &str,
        output: &Tokens,
        port: Option<&Tokens>,
        send: &Tokens,
    ) -> Result<()> {
        let Handler { workflow, attributes, signature, name, argument } = handler;
        let ident = &signature.ident;
        if TAKEN.contains(&ident.to_string().as_str()) {
            return Err(Error::new(
                ident.span(),
                format!(
                    "a handle has a method `{ident}` already, which would go before this one; call the method otherwise \
                     and keep the name in messages with `name = \"{name}\"`"
                ),
            ));
        }
        let kept = attributes.iter().filter(|a| {
            let path = a.path();
            path.is_ident("cfg") || path.is_ident("doc") || path.is_ident("deprecated")
        });
        let documented = attributes.iter().any(|a| a.path().is_ident("doc"));
        let does = (!documented).then(|| quote!(#[doc = #does]));
        let (parameter, value) = match argument {
            None => (None, quote!(&())),
            Some(argument) => {
                let (pattern, ty) = (plain(&argument.pat), owned(&argument.ty, workflow));
                (Some(quote!(#pattern: #ty)), quote!(&#pattern))
            }
        };
        let bound = port.map(|port| quote!(where Self: #port));
        self.methods.push(quote_spanned! {located(ident.span())=>
            #(#kept)* #does
            fn #ident(&self, #parameter) -> #output #bound {
                #send(self, #name, #value)
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
    Owned(workflow).visit_type_mut(&mut ty);
    ty
}

struct Owned<'a>(&'a Ident);

impl VisitMut for Owned<'_> {
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

#[cfg(test)]
mod tests {
    use std::{collections::BTreeSet, fs, path::Path};

    use syn::{ImplItem, Item};

    use super::TAKEN;

    /// The types that are handles, or are used like one.
    const HANDLES: &[&str] = &["WorkflowHandle", "Child", "ExternalWorkflow"];

    fn methods(folder: &Path, found: &mut BTreeSet<String>) {
        for entry in fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                methods(&path, found);
            } else if path.extension().is_some_and(|extension| extension == "rs") {
                let file = syn::parse_file(&fs::read_to_string(&path).unwrap()).unwrap();
                file.items.iter().for_each(|item| public_methods(item, found));
            }
        }
    }

    fn public_methods(item: &Item, found: &mut BTreeSet<String>) {
        let Item::Impl(block) = item else { return };
        let syn::Type::Path(owner) = &*block.self_ty else { return };
        let is_handle = owner.path.segments.last().is_some_and(|last| HANDLES.iter().any(|name| last.ident == name));
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
        let mut found = BTreeSet::new();
        for part in ["client/src", "core/src/context"] {
            methods(&runtime.join(part), &mut found);
        }
        assert!(found.contains("terminate"), "the sources were read: {found:?}");
        let free: Vec<_> = found.iter().filter(|name| !TAKEN.contains(&name.as_str())).collect();
        assert!(free.is_empty(), "these methods of handles belong into TAKEN: {free:?}");
    }
}
