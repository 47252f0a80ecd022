//! A handler in a `#[workflow]` block: a method that takes a signal, answers a query or does an update.

use quote::{ToTokens, quote, quote_spanned};
use syn::{
    Attribute, Error, FnArg, Ident, PatType, Result, ReturnType, Signature, Type, ext::IdentExt, spanned::Spanned,
};

use super::block::Validator;
use crate::{
    Tokens,
    options::{HandlerOptions, arguments},
    signature::{located, output_type, refuse_qualifiers},
};

/// What a handler takes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    Signal,
    Query,
    Update,
}

impl Kind {
    pub(super) fn word(self) -> &'static str {
        match self {
            Self::Signal => "signal",
            Self::Query => "query",
            Self::Update => "update",
        }
    }

    fn attribute(self) -> &'static str {
        match self {
            Self::Signal => "#[signal]",
            Self::Query => "#[query]",
            Self::Update => "#[update]",
        }
    }

    /// How such a method is written.
    fn rule(self) -> &'static str {
        match self {
            Self::Signal => {
                "a signal takes `&mut self` and at most one argument; one that awaits is an `async fn` that takes its \
                 context instead of `self`: `async fn restock(ctx: Ctx<Self>, item: Item)`"
            }
            Self::Query => "a query takes `&self`, as it must not change anything, and at most one argument",
            Self::Update => {
                "an update takes `&mut self` and at most one argument; one that awaits is an `async fn` that takes its \
                 context instead of `self`: `async fn add(ctx: Ctx<Self>, item: Item) -> Result<u32, CartError>`"
            }
        }
    }
}

/// A handler, taken apart.
pub(super) struct Handler {
    pub(super) kind: Kind,
    /// The name that messages carry.
    pub(super) name: String,
    pub(super) signature: Signature,
    pub(super) attributes: Vec<Attribute>,
    pub(super) argument: Option<PatType>,
    /// The run may end while it is under way.
    abandon: bool,
    pub(super) validator: Option<Validator>,
}

impl Handler {
    pub(super) fn parse(
        kind: Kind,
        attribute: &Attribute,
        attributes: &[Attribute],
        signature: &Signature,
    ) -> Result<Self> {
        let is_task = signature.asyncness.is_some();
        let options = HandlerOptions::parse(kind.attribute(), is_task, arguments(attribute)?)?;
        refuse_qualifiers(signature, kind.attribute())?;
        if let (Kind::Query, Some(asyncness)) = (kind, &signature.asyncness) {
            return Err(Error::new(asyncness.span(), "a query reads the state that is there and cannot await"));
        }
        let argument = if is_task { task_argument(kind, signature)? } else { argument(kind, signature)? };
        if kind == Kind::Signal && !returns_nothing(signature) {
            return Err(Error::new_spanned(
                &signature.output,
                "nobody waits for a signal, so it returns nothing; a message that is answered is an #[update]",
            ));
        }
        Ok(Self {
            kind,
            name: options.name.map_or_else(|| signature.ident.unraw().to_string(), |name| name.value()),
            signature: signature.clone(),
            attributes: attributes.to_vec(),
            argument: argument.cloned(),
            abandon: options.abandon,
            validator: None,
        })
    }

    pub(super) fn conditions(&self) -> impl Iterator<Item = &Attribute> {
        self.attributes.iter().filter(|a| a.path().is_ident("cfg"))
    }

    /// The statement that adds it to the handlers of its workflow.
    pub(super) fn registration(&self, workflow: &Ident) -> Tokens {
        let (name, method) = (&self.name, &self.signature.ident);
        let known_as = format!("{workflow}::{method}");
        let known_as = quote!(::core::concat!(::core::module_path!(), "::", #known_as));
        let ty = self.argument_type();
        let argument = self.argument.as_ref().map(|_| quote!(argument));
        let output = output_type(&self.signature);
        let is_task = self.signature.asyncness.is_some();
        let ignored = argument.is_none().then(|| quote!(let _ = argument;));
        let on_state = quote!(|state, argument| { #ignored Self::#method(state, #argument) });
        let as_task = quote!(|ctx, argument| { #ignored Self::#method(ctx, #argument) });
        let added = match (self.kind, is_task) {
            (Kind::Signal, false) => quote!(handlers.signal::<#ty>(#name, #known_as, #on_state)),
            (Kind::Signal, true) => quote!(handlers.signal_task::<#ty, _>(#name, #known_as, #as_task)),
            (Kind::Query, _) => {
                let answer = quote_spanned!(located(output.span())=> ::highwater::__private::Payload::encode(&answer));
                quote! {
                    handlers.query_encoded::<#ty>(#name, #known_as, |state, argument| {
                        #ignored
                        let answer = Self::#method(state, #argument);
                        #answer
                    })
                }
            }
            (Kind::Update, false) => {
                let fallible = fallible(&output);
                quote!(handlers.update::<#ty, #fallible, #output>(#name, #known_as, #on_state))
            }
            (Kind::Update, true) => {
                let fallible = fallible(&output);
                quote!(handlers.update_task::<#ty, #fallible, #output, _>(#name, #known_as, #as_task))
            }
        };
        let unfinished =
            self.abandon.then(|| quote!(let added = added.unfinished(::highwater::__private::Unfinished::Abandon);));
        let validate = self.validator.as_ref().map(|validator| {
            let Validator { method, takes_argument, conditions, .. } = validator;
            let look = if *takes_argument {
                quote!(|state, argument| Self::#method(state, argument))
            } else {
                quote!(|state, _| Self::#method(state))
            };
            quote_spanned!(located(method.span())=> #(#conditions)* let added = added.validate(#look);)
        });
        let conditions = self.conditions();
        quote_spanned! {located(method.span())=>
            #(#conditions)*
            {
                let added = #added;
                #unfinished
                #validate
                let _ = added;
            }
        }
    }

    fn argument_type(&self) -> Tokens {
        self.argument
            .as_ref()
            .map_or_else(|| quote!(::highwater::__private::NoArgument), |argument| argument.ty.to_token_stream())
    }
}

/// A constant that says whether a type is a `Result`, whatever alias it hides behind.
pub(super) fn fallible(output: &Type) -> Tokens {
    quote_spanned! {located(output.span())=>
        {
            #[allow(unused_imports)]
            use ::highwater::__private::ReturnsPlain as _;
            ::highwater::__private::Returned::<#output>::FALLIBLE
        }
    }
}

/// The one argument beside the receiver of a handler that changes or reads the state.
fn argument(kind: Kind, signature: &Signature) -> Result<Option<&PatType>> {
    let rule = kind.rule();
    let this = signature.receiver().ok_or_else(|| Error::new(signature.ident.span(), rule))?;
    if this.reference.is_none() || (this.mutability.is_some() && kind == Kind::Query) {
        return Err(Error::new_spanned(this, rule));
    }
    only(typed(signature), rule)
}

/// The one argument beside the context of a handler that awaits.
fn task_argument(kind: Kind, signature: &Signature) -> Result<Option<&PatType>> {
    let rule = kind.rule();
    if let Some(this) = signature.receiver() {
        return Err(Error::new_spanned(
            this,
            "a handler that awaits takes its context, not `self`, as others change the state meanwhile: \
             `async fn restock(ctx: Ctx<Self>, item: Item)`; its state is `ctx.read(|state| …)` and \
             `ctx.update(|state| …)`",
        ));
    }
    let mut typed = typed(signature);
    let context = typed.next().ok_or_else(|| Error::new(signature.ident.span(), rule))?;
    if let Type::Reference(reference) = &*context.ty {
        return Err(Error::new_spanned(
            reference,
            "a handler that awaits owns its context, as it outlives every caller",
        ));
    }
    only(typed, rule)
}

fn typed(signature: &Signature) -> impl Iterator<Item = &PatType> {
    signature.inputs.iter().filter_map(|argument| match argument {
        FnArg::Typed(parameter) => Some(parameter),
        FnArg::Receiver(_) => None,
    })
}

fn only<'a>(mut typed: impl Iterator<Item = &'a PatType>, rule: &str) -> Result<Option<&'a PatType>> {
    let first = typed.next();
    if let Some(reference @ Type::Reference(_)) = first.map(|parameter| &*parameter.ty) {
        return Err(Error::new_spanned(reference, "an argument is decoded, so it is owned: `String`, not `&str`"));
    }
    match typed.next() {
        Some(second) => Err(Error::new_spanned(second, rule)),
        None => Ok(first),
    }
}

fn returns_nothing(signature: &Signature) -> bool {
    match &signature.output {
        ReturnType::Default => true,
        ReturnType::Type(_, ty) => matches!(&**ty, Type::Tuple(tuple) if tuple.elems.is_empty()),
    }
}
