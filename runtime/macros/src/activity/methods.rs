//! `#[activities]` on an `impl` block.

use quote::{ToTokens, format_ident, quote};
use syn::{Error, Ident, ImplItem, ImplItemFn, ItemImpl, Result, Type};

use super::{Entry, Names, definition, let_off, set};
use crate::{
    Tokens,
    options::{ActivityOptions, arguments, take_attribute},
    signature::ActivitySignature,
};

pub(super) fn expand(mut block: ItemImpl) -> Result<Tokens> {
    if let Some((_, path, _)) = &block.trait_ {
        return Err(Error::new_spanned(path, "#[activities] stands on an inherent `impl` block: `impl Shop { … }`"));
    }
    let owner = owner(&block.self_ty);
    let mut names = Names::default();
    let mut entries = Vec::new();
    let mut items = Vec::new();
    for item in &mut block.items {
        let ImplItem::Fn(method) = item else {
            items.push(item.to_token_stream());
            continue;
        };
        let Some(attribute) = take_attribute(&mut method.attrs, "activity")? else {
            items.push(method.to_token_stream());
            continue;
        };
        let options = ActivityOptions::parse(arguments(&attribute)?)?;
        let signature = ActivitySignature::parse(&method.sig, options.blocking)?;
        if method.sig.receiver().is_none() {
            return Err(Error::new_spanned(
                &method.sig,
                "an activity in an `impl` block takes `&self`; one without dependencies is a function of its own, with #[activity]",
            ));
        }
        names.add(&options, signature.name())?;
        let callee = signature.callee(options.blocking);
        let work = signature.work(&options, &quote!(Self::#callee), &quote!(&*self));
        entries.push(Entry::new(&method.attrs, options.name_for(signature.name()), &owner, signature.name(), work));
        items.push(method_tokens(&options, &signature, method));
    }
    if entries.is_empty() {
        return Err(Error::new_spanned(&block.self_ty, "no method in this block is marked #[activity]"));
    }
    let ItemImpl { attrs, generics, self_ty, .. } = &block;
    let (parameters, _, clause) = generics.split_for_impl();
    let head = quote!(impl #parameters ::highwater::__private::ActivitySet for #self_ty);
    let set = set(&head, generics.where_clause.as_ref(), &entries);
    let let_off = let_off();
    Ok(quote! {
        #let_off
        #(#attrs)*
        impl #parameters #self_ty #clause { #(#items)* }
        #set
    })
}

/// The type's name, for messages.
fn owner(ty: &Type) -> Ident {
    match ty {
        Type::Path(path) => path.path.segments.last().map(|segment| segment.ident.clone()),
        _ => None,
    }
    .unwrap_or_else(|| format_ident!("Self"))
}

fn method_tokens(options: &ActivityOptions, signature: &ActivitySignature, method: &ImplItemFn) -> Tokens {
    let ImplItemFn { attrs, vis, block, .. } = method;
    let definition = definition(options, signature);
    let none = Tokens::new();
    if !options.blocking {
        let tagged = signature.tagged(vis, &definition, &signature.body(block), &none);
        return quote!(#(#attrs)* #tagged);
    }
    let (hidden, future) = signature.with_plain_parameters().blocking_call(signature, block);
    let tagged = signature.with_plain_parameters().tagged(vis, &definition, &future, &none);
    let conditions = attrs.iter().filter(|a| a.path().is_ident("cfg"));
    let lints = attrs.iter().filter(|a| a.path().is_ident("allow") || a.path().is_ident("expect"));
    quote! {
        #(#attrs)* #tagged
        #(#conditions)* #(#lints)* #[doc(hidden)] #hidden
    }
}
