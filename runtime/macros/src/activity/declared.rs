//! `#[activities]` on a trait: activities whose bodies are in another process.

use quote::{format_ident, quote, quote_spanned};
use syn::{Error, Ident, ItemTrait, Result, TraitItem, TraitItemFn};

use super::{Entry, Names, definition, set};
use crate::{
    Tokens,
    options::{ActivityOptions, arguments, take_attribute},
    signature::{ActivitySignature, located},
};

pub(super) fn expand(mut declaration: ItemTrait) -> Result<Tokens> {
    if !declaration.generics.params.is_empty() {
        return Err(Error::new_spanned(
            &declaration.generics,
            "a trait of activities has no parameters, as an activity is found by its name alone",
        ));
    }
    let owner = declaration.ident.clone();
    let calls = format_ident!("{owner}Calls");
    let mut names = Names::default();
    let mut entries = Vec::new();
    let mut callables = Vec::new();
    for item in &mut declaration.items {
        let TraitItem::Fn(method) = item else { continue };
        let Some(attribute) = take_attribute(&mut method.attrs, "activity")? else { continue };
        let options = ActivityOptions::parse(arguments(&attribute)?)?;
        let signature = ActivitySignature::parse(&method.sig, options.blocking)?;
        check(method)?;
        names.add(&options, signature.name())?;
        let name = signature.name();
        let work = signature.work(&options, &quote!(<T as #owner>::#name), &quote!(&self.0));
        entries.push(Entry::new(&method.attrs, options.name_for(name), &owner, name, work));
        callables.push(callable(&calls, &declaration.vis, &options, &signature, method));
        if !options.blocking {
            declare_future(method, &signature);
        }
    }
    if entries.is_empty() {
        return Err(Error::new(declaration.ident.span(), "no method of this trait is marked #[activity]"));
    }
    if declaration.supertraits.is_empty() {
        declaration.colon_token = Some(syn::Token![:](declaration.ident.span()));
    }
    declaration.supertraits.push(syn::parse_quote!(::core::marker::Send));
    declaration.supertraits.push(syn::parse_quote!(::core::marker::Sync));
    declaration.supertraits.push(syn::parse_quote!('static));
    Ok(around(&declaration, &calls, &callables, &entries))
}

fn check(method: &TraitItemFn) -> Result<()> {
    if method.sig.receiver().is_none() {
        return Err(Error::new_spanned(&method.sig, "an activity in a trait takes `&self`"));
    }
    match &method.default {
        Some(body) => Err(Error::new_spanned(
            body,
            "an activity in a trait is declared only; write the body in an `impl` block with #[activities], or in the process that implements the trait",
        )),
        None => Ok(()),
    }
}

/// In the trait itself an activity is a function that returns a `Send` future; an implementor writes `async fn`.
fn declare_future(method: &mut TraitItemFn, signature: &ActivitySignature) {
    let output = &signature.output;
    method.sig.asyncness = None;
    let span = located(method.sig.ident.span());
    let future = quote_spanned! {span=>
        -> impl ::core::future::Future<Output = #output> + ::core::marker::Send
    };
    method.sig.output = syn::parse_quote!(#future);
}

/// The function that workflows name: `BillingCalls::refund`.
fn callable(
    calls: &Ident,
    vis: &syn::Visibility,
    options: &ActivityOptions,
    signature: &ActivitySignature,
    method: &TraitItemFn,
) -> Tokens {
    let plain = signature.with_plain_parameters();
    let path = format!("{calls}::{}", signature.name());
    let output = &signature.output;
    let ignored = plain.parameters();
    let future = quote!({ #(let _ = #ignored;)* ::highwater::__private::elsewhere::<#output>(#path) });
    let tagged = plain.tagged(vis, &definition(options, signature), &future, &Tokens::new());
    let attributes = method.attrs.iter().filter(|a| a.path().is_ident("cfg") || a.path().is_ident("doc"));
    quote!(#(#attributes)* #tagged)
}

fn around(declaration: &ItemTrait, calls: &Ident, callables: &[Tokens], entries: &[Entry]) -> Tokens {
    let ItemTrait { vis, ident, .. } = declaration;
    let conditions: Vec<_> = declaration.attrs.iter().filter(|a| a.path().is_ident("cfg")).collect();
    let doc = format!(
        "The activities of [`{ident}`]: a workflow calls them by path, as in `ctx.run({calls}::name, input)`, and the \
         worker that has them registers `{calls}(value)` with a value that implements the trait."
    );
    let head = quote!(#(#conditions)* impl<T: #ident> ::highwater::__private::ActivitySet for #calls<T>);
    let set = set(&head, None, entries);
    quote! {
        #declaration

        #(#conditions)*
        #[doc = #doc]
        #[derive(Clone, Copy, Debug)]
        #vis struct #calls<T = ()>(#[doc = "What has the bodies."] #vis T);

        #(#conditions)*
        impl #calls { #(#callables)* }

        #set
    }
}
