//! What stands in the parentheses of an attribute.

use std::time::Duration;

use proc_macro2::Span;
use quote::{ToTokens, quote};
use syn::{
    Attribute, Error, Expr, Ident, Lit, LitStr, Meta, Pat, Result, Token,
    ext::IdentExt,
    parenthesized,
    parse::{ParseStream, Parser},
    spanned::Spanned,
};

use crate::Tokens;

/// The shortest timeout, as histories keep milliseconds.
const TIMEOUT_MIN: Duration = Duration::from_millis(1);

/// The options of `#[activity]`.
#[derive(Default)]
pub(crate) struct ActivityOptions {
    pub(crate) name: Option<LitStr>,
    pub(crate) blocking: bool,
    /// The pattern of errors after which no further attempt follows.
    pub(crate) non_retryable: Option<Pat>,
    /// Field of `ActivityDefaults` and its value.
    defaults: Vec<(Ident, Tokens)>,
}

const ACTIVITY: &[&str] = &[
    "name",
    "queue",
    "start_to_close",
    "schedule_to_start",
    "schedule_to_close",
    "heartbeat",
    "retry",
    "non_retryable",
    "blocking",
];
const RETRY: &[&str] = &["initial_interval", "backoff_coefficient", "maximum_interval", "maximum_attempts", "jitter"];

impl ActivityOptions {
    pub(crate) fn parse(tokens: Tokens) -> Result<Self> {
        let mut options = Self::default();
        let parser = |input: ParseStream<'_>| {
            each_option(input, "#[activity]", ACTIVITY, |option, input| options.option(option, input))
        };
        parser.parse2(tokens)?;
        Ok(options)
    }

    fn option(&mut self, option: &Ident, input: ParseStream<'_>) -> Result<()> {
        match option.to_string().as_str() {
            "name" => self.name = Some(name(input)?),
            "queue" => {
                let queue = name(input)?;
                self.set(option, queue.into_token_stream());
            }
            "blocking" => self.blocking = true,
            "non_retryable" => {
                input.parse::<Token![=]>()?;
                self.non_retryable = Some(Pat::parse_multi_with_leading_vert(input)?);
            }
            "retry" => {
                let retry;
                parenthesized!(retry in input);
                each_option(&retry, "retry", RETRY, |option, input| self.retry_option(option, input))?;
            }
            _ => self.timeout(option, input)?,
        }
        Ok(())
    }

    fn retry_option(&mut self, option: &Ident, input: ParseStream<'_>) -> Result<()> {
        match option.to_string().as_str() {
            "maximum_attempts" => {
                let value = number(input)?;
                let attempts: u32 = value.base10_parse()?;
                self.set(option, quote!(#attempts));
            }
            "backoff_coefficient" => {
                let (value, span) = float(input)?;
                if value < 1.0 {
                    return Err(Error::new(span, "delays cannot shrink: the coefficient is at least 1.0"));
                }
                self.set(option, quote!(#value));
            }
            "jitter" => {
                let (value, span) = float(input)?;
                if !(0.0..=1.0).contains(&value) {
                    return Err(Error::new(span, "jitter is a part of the delay, from 0.0 to 1.0"));
                }
                self.set(option, quote!(#value));
            }
            _ => self.timeout(option, input)?,
        }
        Ok(())
    }

    fn timeout(&mut self, option: &Ident, input: ParseStream<'_>) -> Result<()> {
        let (duration, span) = duration(input)?;
        if duration < TIMEOUT_MIN {
            return Err(Error::new(span, format!("{option} is at least a millisecond")));
        }
        let (seconds, nanos) = (duration.as_secs(), duration.subsec_nanos());
        self.set(option, quote!(::core::time::Duration::new(#seconds, #nanos)));
        Ok(())
    }

    fn set(&mut self, option: &Ident, value: Tokens) {
        self.defaults.push((option.clone(), value));
    }

    /// The name that tasks carry, for an activity whose function is `function`.
    pub(crate) fn name_for(&self, function: &Ident) -> String {
        self.name.as_ref().map_or_else(|| function.unraw().to_string(), LitStr::value)
    }

    /// The expression for `ActivityDefaults`.
    pub(crate) fn defaults(&self, name: &str) -> Tokens {
        let (fields, values): (Vec<_>, Vec<_>) = self.defaults.iter().cloned().unzip();
        let rest = (!fields.is_empty()).then(|| quote!(..));
        let named = quote!(::highwater::__private::ActivityDefaults::named(#name));
        match rest {
            Some(_) => quote! {
                ::highwater::__private::ActivityDefaults {
                    #(#fields: ::core::option::Option::Some(#values),)*
                    ..#named
                }
            },
            None => named,
        }
    }
}

/// The options of `#[workflow]`.
#[derive(Default)]
pub(crate) struct WorkflowOptions {
    name: Option<LitStr>,
    /// What the trait of its typed handle is called.
    pub(crate) handle: Option<Ident>,
}

impl WorkflowOptions {
    pub(crate) fn parse(tokens: Tokens) -> Result<Self> {
        let mut options = Self::default();
        let parser = |input: ParseStream<'_>| {
            each_option(input, "#[workflow]", &["name", "handle"], |option, input| {
                if option == "name" {
                    options.name = Some(name(input)?);
                } else {
                    input.parse::<Token![=]>()?;
                    options.handle = Some(input.parse()?);
                }
                Ok(())
            })
        };
        parser.parse2(tokens)?;
        Ok(options)
    }

    /// Refuses a name for a handle that there is not.
    pub(crate) fn refuse_handle(&self) -> Result<()> {
        self.handle.as_ref().map_or(Ok(()), |handle| {
            Err(Error::new(
                handle.span(),
                "a function has no handlers, so there is no handle to name; write an `impl` block with #[signal], \
                 #[query] or #[update] methods",
            ))
        })
    }

    /// The name that histories carry, for a workflow that is called `workflow` in the code.
    pub(crate) fn name_for(&self, workflow: &Ident) -> String {
        self.name.as_ref().map_or_else(|| workflow.unraw().to_string(), LitStr::value)
    }
}

/// The options of `#[signal]`, `#[query]` and `#[update]`.
#[derive(Default)]
pub(crate) struct HandlerOptions {
    pub(crate) name: Option<LitStr>,
    /// The run may end while it is under way.
    pub(crate) abandon: bool,
}

impl HandlerOptions {
    /// Only one that `awaits` can be under way when its run would end.
    pub(crate) fn parse(attribute: &str, awaits: bool, tokens: Tokens) -> Result<Self> {
        let mut options = Self::default();
        let known: &[&str] = if attribute == "#[query]" { &["name"] } else { &["name", "unfinished"] };
        let parser = |input: ParseStream<'_>| {
            each_option(input, attribute, known, |option, input| {
                if option == "name" {
                    options.name = Some(name(input)?);
                } else {
                    options.abandon = unfinished(option, awaits, input)?;
                }
                Ok(())
            })
        };
        parser.parse2(tokens)?;
        Ok(options)
    }
}

/// Whether a handler that is under way is given up when its run ends.
fn unfinished(option: &Ident, awaits: bool, input: ParseStream<'_>) -> Result<bool> {
    input.parse::<Token![=]>()?;
    let choice: LitStr = input.parse()?;
    if !awaits {
        let text = "a handler that does not await has ended when it returns; remove `unfinished`";
        return Err(Error::new(option.span(), text));
    }
    match choice.value().as_str() {
        "wait" => Ok(false),
        "abandon" => Ok(true),
        _ => Err(Error::new(
            choice.span(),
            "write \"wait\", so that the run ends when the handler has (the default), or \"abandon\", so that it ends \
             without it",
        )),
    }
}

/// An attribute that takes nothing.
pub(crate) fn nothing(attribute: &str, tokens: Tokens) -> Result<()> {
    if tokens.is_empty() {
        return Ok(());
    }
    Err(Error::new(tokens.span(), format!("{attribute} has no options")))
}

/// What stands in the parentheses of an attribute within a block.
pub(crate) fn arguments(attribute: &Attribute) -> Result<Tokens> {
    match &attribute.meta {
        Meta::Path(_) => Ok(Tokens::new()),
        Meta::List(list) => Ok(list.tokens.clone()),
        Meta::NameValue(pair) => Err(Error::new(pair.eq_token.span(), "write options in parentheses")),
    }
}

/// Takes the attribute whose last segment is `name` out of a list. Two of it are an error.
pub(crate) fn take_attribute(attributes: &mut Vec<Attribute>, name: &str) -> Result<Option<Attribute>> {
    let is = |a: &Attribute| a.path().segments.last().is_some_and(|segment| segment.ident == name);
    let found: Vec<Attribute> = attributes.extract_if(.., |attribute| is(attribute)).collect();
    match found.as_slice() {
        [] => Ok(None),
        [one] => Ok(Some(one.clone())),
        [_, second, ..] => Err(Error::new_spanned(second, format!("#[{name}] stands here twice"))),
    }
}

fn each_option(
    input: ParseStream<'_>,
    of: &str,
    known: &[&str],
    mut take: impl FnMut(&Ident, ParseStream<'_>) -> Result<()>,
) -> Result<()> {
    let mut seen: Vec<Ident> = Vec::new();
    while !input.is_empty() {
        let option = input.call(Ident::parse_any)?;
        if !known.contains(&option.to_string().as_str()) {
            let known = known.join(", ");
            return Err(Error::new(option.span(), format!("{of} has no option `{option}`; it has: {known}")));
        }
        if seen.contains(&option) {
            return Err(Error::new(option.span(), format!("`{option}` stands here twice")));
        }
        take(&option, input)?;
        seen.push(option);
        if !input.is_empty() {
            input.parse::<Token![,]>()?;
        }
    }
    Ok(())
}

fn name(input: ParseStream<'_>) -> Result<LitStr> {
    input.parse::<Token![=]>()?;
    let name: LitStr = input.parse()?;
    if name.value().is_empty() {
        return Err(Error::new(name.span(), "a name has at least one character"));
    }
    Ok(name)
}

fn duration(input: ParseStream<'_>) -> Result<(Duration, Span)> {
    input.parse::<Token![=]>()?;
    let value: Expr = input.parse()?;
    let wrong = |why: &str| Error::new(value.span(), format!("{why}; write a duration like \"10s\" or \"1h 30m\""));
    let Expr::Lit(literal) = &value else { return Err(wrong("this is not text")) };
    let Lit::Str(text) = &literal.lit else { return Err(wrong("this is not text")) };
    let duration = humantime::parse_duration(&text.value()).map_err(|error| wrong(&error.to_string()))?;
    Ok((duration, text.span()))
}

fn number(input: ParseStream<'_>) -> Result<syn::LitInt> {
    input.parse::<Token![=]>()?;
    input.parse()
}

fn float(input: ParseStream<'_>) -> Result<(f64, Span)> {
    input.parse::<Token![=]>()?;
    let literal: Lit = input.parse()?;
    let value = match &literal {
        Lit::Float(value) => value.base10_parse()?,
        Lit::Int(value) => value.base10_parse()?,
        other => return Err(Error::new_spanned(other, "expected a number like 2.0")),
    };
    Ok((value, literal.span()))
}
