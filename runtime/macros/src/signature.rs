//! The parameters of an activity, and how it becomes a function that returns a tagged future.

use proc_macro2::Span;
use quote::{ToTokens, format_ident, quote, quote_spanned};
use syn::{
    Block, Error, FnArg, GenericParam, Ident, PatType, Result, ReturnType, Signature, Type, Visibility,
    spanned::Spanned,
};

use crate::{Tokens, options::ActivityOptions};

/// The signature of an activity, taken apart.
pub(crate) struct ActivitySignature {
    signature: Signature,
    receiver: bool,
    context: Option<PatType>,
    pub(crate) input: Option<PatType>,
    pub(crate) output: Type,
}

/// Where `span` is, with names and edition as in this crate: `impl Trait` then captures the lifetime of `&self` in
/// crates of every edition.
pub(crate) fn located(span: Span) -> Span {
    span.resolved_at(Span::call_site())
}

/// A name that the user's code cannot see.
pub(crate) fn local(name: &str) -> Ident {
    Ident::new(name, Span::mixed_site())
}

/// What Clippy would say of a signature that is not the user's choice.
pub(crate) fn lints() -> Tokens {
    quote! {
        #[allow(
            clippy::needless_pass_by_value,
            clippy::trivially_copy_pass_by_ref,
            clippy::unnecessary_wraps,
            clippy::unused_self
        )]
    }
}

/// The type that a function returns.
pub(crate) fn output_type(signature: &Signature) -> Type {
    match &signature.output {
        ReturnType::Default => syn::parse_quote_spanned!(signature.ident.span()=> ()),
        ReturnType::Type(_, output) => (**output).clone(),
    }
}

/// Refuses what no function of the user's may be that the engine calls by name.
pub(crate) fn refuse_qualifiers(signature: &Signature, what: &str) -> Result<()> {
    let generic = signature.generics.params.iter().find(|p| !matches!(p, GenericParam::Lifetime(_)));
    if let Some(parameter) = generic {
        return Err(Error::new_spanned(
            parameter,
            format!("{what} is found by its name alone, so it has no type parameters of its own"),
        ));
    }
    if let Some(unsafety) = &signature.unsafety {
        return Err(Error::new(unsafety.span(), format!("{what} is called by the engine, so it cannot be unsafe")));
    }
    match &signature.constness {
        Some(constness) => Err(Error::new(constness.span(), format!("{what} cannot be const"))),
        None => Ok(()),
    }
}

impl ActivitySignature {
    pub(crate) fn parse(signature: &Signature, blocking: bool) -> Result<Self> {
        refuse_qualifiers(signature, "an activity")?;
        check_async(signature, blocking)?;
        let mut receiver = false;
        let mut typed = Vec::new();
        for argument in &signature.inputs {
            match argument {
                FnArg::Receiver(this) => {
                    check_receiver(this)?;
                    receiver = true;
                }
                FnArg::Typed(parameter) => typed.push(parameter.clone()),
            }
        }
        let has_context = typed.first().is_some_and(|first| is_context(&first.ty));
        let context = has_context.then(|| typed.remove(0));
        for parameter in &typed {
            check_input(parameter, context.is_some())?;
        }
        if let Some(second) = typed.get(1) {
            return Err(Error::new_spanned(
                second,
                "an activity has one input; put several values into a struct or a tuple",
            ));
        }
        let output = output_type(signature);
        Ok(Self { signature: signature.clone(), receiver, context, input: typed.pop(), output })
    }

    /// The type that tells `ctx.run` where the input is.
    fn shape(&self) -> Ident {
        let owner = if self.receiver { "Method" } else { "Free" };
        let context = if self.context.is_some() { "WithContext" } else { "" };
        let input = if self.input.is_some() { "" } else { "NoInput" };
        format_ident!("{owner}{context}{input}")
    }

    /// The hidden function that has the body of a blocking activity.
    fn blocking_name(&self) -> Ident {
        format_ident!("__highwater_blocking_{}", self.signature.ident)
    }

    pub(crate) fn name(&self) -> &Ident {
        &self.signature.ident
    }

    /// The activity as a function that returns a tagged future; `definition` are the items in its body.
    pub(crate) fn tagged(&self, vis: &Visibility, definition: &Tokens, future: &Tokens, bounds: &Tokens) -> Tokens {
        let Signature { ident, generics, inputs, .. } = &self.signature;
        let (output, shape, clause) = (&self.output, self.shape(), &generics.where_clause);
        let activity = quote_spanned! {located(ident.span())=>
            impl ::highwater::__private::Activity<Shape = ::highwater::__private::#shape, Output = #output #bounds>
                + ::core::marker::Send
        };
        let lints = lints();
        quote! {
            #lints
            #vis fn #ident #generics(#inputs) -> #activity #clause {
                #definition
                ::highwater::__private::tag::<__HighwaterActivity, ::highwater::__private::#shape, _>(#future)
            }
        }
    }

    /// The future around the user's own body.
    pub(crate) fn body(&self, body: &Block) -> Tokens {
        returning(&self.output, body)
    }

    /// A blocking activity: the hidden function with the body, and the future that calls it. `self` is the signature
    /// with plain parameters, `written` the one of the user's.
    pub(crate) fn blocking_call(&self, written: &Self, body: &Block) -> (Tokens, Tokens) {
        let hidden = Signature { ident: self.blocking_name(), ..written.signature.clone() };
        let (function, parameters) = (&hidden.ident, self.parameters());
        let call = if self.receiver {
            quote!(Self::#function(self, #(#parameters),*))
        } else {
            quote!(#function(#(#parameters),*))
        };
        let lints = lints();
        (quote!(#lints #hidden #body), quote!(async move { #call }))
    }

    /// The parameters' names, when they are plain.
    pub(crate) fn parameters(&self) -> Vec<Tokens> {
        let parameters = self.context.iter().chain(&self.input);
        parameters.map(|parameter| parameter.pat.to_token_stream()).collect()
    }

    /// As it is declared, with parameters that have plain names, so that they can be handed on.
    pub(crate) fn with_plain_parameters(&self) -> Self {
        let plain = |parameter: &Option<PatType>, name: &str| {
            parameter.clone().map(|mut parameter| {
                let ident = local(name);
                parameter.attrs.clear();
                *parameter.pat = syn::parse_quote!(#ident);
                parameter
            })
        };
        let (context, input) = (plain(&self.context, "context"), plain(&self.input, "input"));
        let mut signature = self.signature.clone();
        let receiver = signature.inputs.iter().filter(|a| matches!(a, FnArg::Receiver(_))).cloned();
        let typed = context.iter().chain(&input).cloned().map(FnArg::Typed);
        signature.inputs = receiver.collect::<Vec<_>>().into_iter().chain(typed).collect();
        Self { signature, receiver: self.receiver, context, input, output: self.output.clone() }
    }

    /// An expression of type `Work` that begins an attempt, where `context` and `input` are at hand; `callee` is the
    /// path of a function or method, `this` what a method is called on.
    pub(crate) fn work(&self, options: &ActivityOptions, callee: &Tokens, this: &Tokens) -> Tokens {
        let (context, input) = (local("context"), local("input"));
        let keep = self.context.as_ref().map(|_| quote!(let #context = ::core::clone::Clone::clone(#context);));
        let lend = self.context.as_ref().map(|parameter| {
            let Type::Reference(reference) = &*parameter.ty else { unreachable!("a context is a reference") };
            let ty = &reference.elem;
            quote_spanned!(located(ty.span())=> ::highwater::__private::lend::<#ty>(&#context),)
        });
        let (this, argument) = (self.receiver.then(|| quote!(#this,)), self.input.as_ref().map(|_| quote!(#input)));
        let call = quote!(#callee(#this #lend #argument));
        let errors = if let Some(pattern) = &options.non_retryable {
            quote!(|error| ::core::matches!(error, #pattern))
        } else {
            quote!(|_| false)
        };
        let output = &self.output;
        let outcome = quote_spanned!(output.span()=> ::highwater::__private::recorder::<#output>());
        let work = if options.blocking {
            quote!(::highwater::__private::Work::Blocking(::std::boxed::Box::new(move || #outcome(#call, #errors))))
        } else {
            let outcome = quote!(#outcome(#call.await, #errors));
            quote!(::highwater::__private::Work::Async(::std::boxed::Box::pin(async move { #outcome })))
        };
        match &self.input {
            None => quote!({ #keep #work }),
            Some(parameter) => {
                let (name, ty) = (options.name_for(self.name()), &parameter.ty);
                let decode =
                    quote_spanned!(located(ty.span())=> ::highwater::__private::decode_input::<#ty>(#name, #input));
                quote! {
                    match #decode {
                        ::core::result::Result::Ok(#input) => { #keep #work }
                        ::core::result::Result::Err(outcome) => ::highwater::__private::refused(outcome),
                    }
                }
            }
        }
    }

    /// The function that a dispatch calls for this activity.
    pub(crate) fn callee(&self, blocking: bool) -> Ident {
        if blocking { self.blocking_name() } else { self.name().clone() }
    }
}

/// A future of exactly the type `output`, so that `?` in the body knows the error it converts to.
pub(crate) fn returning(output: &Type, body: &Block) -> Tokens {
    quote! {
        async move {
            if let ::core::option::Option::Some(never) = ::core::option::Option::None::<#output> {
                return never;
            }
            #[allow(unused_braces, clippy::diverging_sub_expression, clippy::let_unit_value, clippy::unused_unit)]
            let output: #output = #body;
            #[allow(unreachable_code)]
            output
        }
    }
}

fn check_async(signature: &Signature, blocking: bool) -> Result<()> {
    match (&signature.asyncness, blocking) {
        (Some(_), false) | (None, true) => Ok(()),
        (None, false) => Err(Error::new(
            signature.fn_token.span(),
            "an activity is an `async fn`; for code that blocks its thread, write `#[activity(blocking)]`",
        )),
        (Some(asyncness), true) => Err(Error::new(
            asyncness.span(),
            "a blocking activity has a thread of its own and cannot await; remove `async` or `blocking`",
        )),
    }
}

fn check_receiver(this: &syn::Receiver) -> Result<()> {
    if let Some(mutability) = &this.mutability {
        return Err(Error::new(
            mutability.span(),
            "an activity takes `&self`, as several attempts run at a time; put what changes into a `Mutex` or an atomic",
        ));
    }
    if this.reference.is_none() || this.colon_token.is_some() {
        return Err(Error::new_spanned(this, "an activity takes `&self`, as all attempts share one value"));
    }
    Ok(())
}

/// Whether a first parameter of this type is the context: inputs are owned, so every reference is meant as one.
fn is_context(ty: &Type) -> bool {
    matches!(ty, Type::Reference(_)) && owned(ty).is_none()
}

/// What to write instead of a reference that is surely meant as an input.
fn owned(ty: &Type) -> Option<&'static str> {
    let Type::Reference(reference) = ty else { return None };
    match &*reference.elem {
        Type::Slice(_) => Some("`Vec<…>`"),
        Type::Path(path) if path.path.is_ident("str") => Some("`String`"),
        Type::Path(path) if path.path.is_ident("String") => Some("`String`"),
        _ => None,
    }
}

fn check_input(parameter: &PatType, context_seen: bool) -> Result<()> {
    let error = |text: String| Err(Error::new_spanned(&parameter.ty, text));
    match &*parameter.ty {
        Type::ImplTrait(_) => error("an activity's input is decoded, so its type is a concrete one".into()),
        ty @ Type::Reference(_) => {
            if !context_seen && owned(ty).is_none() {
                return error("`&ActivityContext` comes before the input, and the input is owned".into());
            }
            let instead = owned(ty).map_or_else(String::new, |owned| format!(": write {owned}"));
            error(format!(
                "an activity's input is decoded for it alone, so it is owned{instead}; \
                 the only reference it may take is `&ActivityContext`, before the input"
            ))
        }
        _ => Ok(()),
    }
}
