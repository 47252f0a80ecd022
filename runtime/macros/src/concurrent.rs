//! `select!`, `join!` and `try_join!`.
//!
//! Their expansions name nothing but the standard library.

use proc_macro2::Span;
use quote::{format_ident, quote};
use syn::{
    Error, Expr, Ident, Pat, Result, Token,
    parse::{ParseStream, Parser},
    punctuated::Punctuated,
};

use crate::{Tokens, signature::local};

struct Branch {
    pattern: Pat,
    future: Expr,
    body: Expr,
}

/// `select!`
pub(crate) fn select(input: Tokens) -> Result<Tokens> {
    let branches = branches.parse2(input)?;
    if branches.is_empty() {
        return Err(Error::new(Span::call_site(), "select! needs a branch: `receipt = ctx.run(…) => { … }`"));
    }
    let (futures, (variants, types)): (Vec<_>, (Vec<_>, Vec<_>)) = (0..branches.len())
        .map(|n| (numbered("future", n), (format_ident!("Branch{n}"), format_ident!("T{n}"))))
        .unzip();
    let polls = futures.iter().zip(&variants).map(|(future, variant)| {
        quote! {
            if let ::core::task::Poll::Ready(output) = ::core::future::Future::poll(#future.as_mut(), cx) {
                return ::core::task::Poll::Ready(__HighwaterBranch::#variant(output));
            }
        }
    });
    let waiting = waiting(
        &futures,
        branches.iter().map(|branch| &branch.future),
        &quote!({ #(#polls)* ::core::task::Poll::Pending }),
        &Tokens::new(),
    );
    let arms = branches
        .iter()
        .zip(&variants)
        .map(|(Branch { pattern, body, .. }, variant)| quote!(__HighwaterBranch::#variant(#pattern) => #body,));
    let ended = local("ended");
    Ok(quote! {{
        enum __HighwaterBranch<#(#types),*> { #(#variants(#types)),* }
        // All futures are gone here, so a branch's body finds the losers cancelled.
        let #ended = #waiting;
        match #ended { #(#arms)* }
    }})
}

/// `join!`
pub(crate) fn join(input: Tokens) -> Result<Tokens> {
    all(
        "join!",
        input,
        &|future, slot| {
            quote! {
                match ::core::future::Future::poll(#future.as_mut(), cx) {
                    ::core::task::Poll::Ready(output) => #slot = ::core::option::Option::Some(output),
                    ::core::task::Poll::Pending => ended = false,
                }
            }
        },
        &|outputs| outputs,
    )
}

/// `try_join!`
pub(crate) fn try_join(input: Tokens) -> Result<Tokens> {
    all(
        "try_join!",
        input,
        &|future, slot| {
            quote! {
                match ::core::future::Future::poll(#future.as_mut(), cx) {
                    ::core::task::Poll::Ready(::core::result::Result::Ok(output)) => {
                        #slot = ::core::option::Option::Some(output);
                    }
                    ::core::task::Poll::Ready(::core::result::Result::Err(error)) => {
                        return ::core::task::Poll::Ready(::core::result::Result::Err(error));
                    }
                    ::core::task::Poll::Pending => ended = false,
                }
            }
        },
        &|outputs| quote!(::core::result::Result::Ok(#outputs)),
    )
}

fn all(
    what: &str,
    input: Tokens,
    poll: &dyn Fn(&Ident, &Ident) -> Tokens,
    wrap: &dyn Fn(Tokens) -> Tokens,
) -> Result<Tokens> {
    let listed = Punctuated::<Expr, Token![,]>::parse_terminated.parse2(input)?;
    if listed.is_empty() {
        return Err(Error::new(
            Span::call_site(),
            format!("{what} needs a future: `{what}(ctx.run(…), ctx.sleep(…))`"),
        ));
    }
    let futures: Vec<_> = (0..listed.len()).map(|n| numbered("future", n)).collect();
    let slots: Vec<_> = (0..listed.len()).map(|n| numbered("output", n)).collect();
    let polls = futures.iter().zip(&slots).map(|(future, slot)| {
        let poll = poll(future, slot);
        quote!(if #slot.is_none() { #poll })
    });
    let outputs = wrap(quote!((#(#slots.take().expect("it ended"),)*)));
    let body = quote! {{
        let mut ended = true;
        #(#polls)*
        if ended { ::core::task::Poll::Ready(#outputs) } else { ::core::task::Poll::Pending }
    }};
    let declared = quote!(#(let mut #slots = ::core::option::Option::None;)*);
    Ok(waiting(&futures, listed.iter(), &body, &declared))
}

/// An expression that makes all futures, in the order in which they are written, and polls them with `body`. They are
/// dropped in the same order, and what their expressions borrow lives as long as they.
fn waiting<'a>(
    futures: &[Ident],
    expressions: impl Iterator<Item = &'a Expr>,
    body: &Tokens,
    declared: &Tokens,
) -> Tokens {
    let made = expressions.map(|expression| quote!(::core::future::IntoFuture::into_future(#expression)));
    // Locals are dropped in the reverse order of their declaration.
    let pinned = futures.iter().rev().map(|future| quote!(let mut #future = ::core::pin::pin!(#future);));
    quote! {
        match (#(#made,)*) {
            (#(#futures,)*) => {
                #declared
                #(#pinned)*
                ::core::future::poll_fn(|cx| #body).await
            }
        }
    }
}

fn numbered(name: &str, number: usize) -> Ident {
    local(&format!("{name}{number}"))
}

fn branches(input: ParseStream<'_>) -> Result<Vec<Branch>> {
    let mut branches = Vec::new();
    while !input.is_empty() {
        branches.push(branch(input)?);
    }
    Ok(branches)
}

fn branch(input: ParseStream<'_>) -> Result<Branch> {
    if input.peek(Token![else]) {
        return Err(input.error("select! always waits for one of its branches, so there is no `else`"));
    }
    let fork = input.fork();
    if fork.parse::<Ident>().is_ok_and(|word| word == "biased") && fork.peek(Token![;]) {
        return Err(
            input.error("select! always polls in the order in which its branches are written; remove `biased;`")
        );
    }
    let pattern = Pat::parse_multi_with_leading_vert(input)?;
    input.parse::<Token![=]>()?;
    let future = input.parse()?;
    if input.peek(Token![,]) {
        return Err(input.error("select! has no conditions; write `pattern = future => body`"));
    }
    input.parse::<Token![=>]>()?;
    let body = Expr::parse_with_earlier_boundary_rule(input)?;
    let ends_in_block = matches!(
        body,
        Expr::Block(_)
            | Expr::If(_)
            | Expr::Match(_)
            | Expr::While(_)
            | Expr::Loop(_)
            | Expr::ForLoop(_)
            | Expr::Unsafe(_)
    );
    if input.peek(Token![,]) || !(ends_in_block || input.is_empty()) {
        input
            .parse::<Token![,]>()
            .map_err(|error| Error::new(error.span(), "a comma is missing before the next branch"))?;
    }
    Ok(Branch { pattern, future, body })
}
