//! The methods of a `#[workflow]` block, sorted by what they are for.

use std::collections::BTreeMap;

use syn::{Attribute, Error, FnArg, Ident, PatType, Result, ReturnType, Signature, Type, Visibility, spanned::Spanned};

use super::{
    RunSignature,
    handler::{Handler, Kind},
};
use crate::{
    Tokens,
    options::{arguments, nothing, take_attribute},
    signature::refuse_qualifiers,
};

/// A block, as far as it is read.
pub(super) struct Block {
    pub(super) run: Option<(RunSignature, Visibility)>,
    pub(super) init: Option<Init>,
    pub(super) handlers: Vec<Handler>,
    validators: Vec<Validator>,
}

/// What a method of a block is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Role {
    /// It is the workflow.
    Run,
    /// The engine calls it.
    Handler,
    /// The engine does not know it.
    Plain,
}

/// `#[init]`
pub(super) struct Init {
    pub(super) method: Ident,
    pub(super) takes_input: bool,
}

/// `#[validate(…)]`
pub(super) struct Validator {
    /// The update that it judges: its method.
    of: Ident,
    pub(super) method: Ident,
    pub(super) takes_argument: bool,
    pub(super) conditions: Vec<Attribute>,
}

const ATTRIBUTES: &[&str] = &["init", "run", "signal", "query", "update", "validate"];

impl Block {
    pub(super) fn new() -> Self {
        Self { run: None, init: None, handlers: Vec::new(), validators: Vec::new() }
    }

    /// Notes what a method is for, and takes the attribute that says so away.
    pub(super) fn method(
        &mut self,
        attributes: &mut Vec<Attribute>,
        vis: &Visibility,
        signature: &Signature,
    ) -> Result<Role> {
        let mut found: Option<(&str, Attribute)> = None;
        for what in ATTRIBUTES {
            let Some(attribute) = take_attribute(attributes, what)? else { continue };
            if let Some((first, _)) = &found {
                return Err(Error::new_spanned(
                    attribute,
                    format!("a method is one thing, and this one is #[{first}] already; write another for #[{what}]"),
                ));
            }
            found = Some((what, attribute));
        }
        let Some((what, attribute)) = found else { return Ok(Role::Plain) };
        match what {
            "run" => {
                nothing("#[run]", arguments(&attribute)?)?;
                if self.run.replace((RunSignature::parse(signature)?, vis.clone())).is_some() {
                    return Err(Error::new_spanned(&attribute, "a workflow has one #[run]"));
                }
                return Ok(Role::Run);
            }
            "init" => self.init(&attribute, signature)?,
            "validate" => self.validators.push(validator(&attribute, attributes, signature)?),
            "signal" => self.handler(Handler::parse(Kind::Signal, &attribute, attributes, signature)?, &attribute)?,
            "query" => self.handler(Handler::parse(Kind::Query, &attribute, attributes, signature)?, &attribute)?,
            _ => self.handler(Handler::parse(Kind::Update, &attribute, attributes, signature)?, &attribute)?,
        }
        Ok(Role::Handler)
    }

    fn handler(&mut self, handler: Handler, attribute: &Attribute) -> Result<()> {
        let same = |known: &&Handler| known.kind == handler.kind && known.name == handler.name;
        if let Some(first) = self.handlers.iter().find(same)
            // Of two that are compiled under conditions perhaps only one is there. If both are, starting a worker
            // tells.
            && first.conditions().next().is_none()
            && handler.conditions().next().is_none()
        {
            return Err(Error::new_spanned(
                attribute,
                format!(
                    "`{}` and `{}` both take the {} \"{}\"; give one of them another name",
                    first.signature.ident,
                    handler.signature.ident,
                    handler.kind.word(),
                    handler.name
                ),
            ));
        }
        self.handlers.push(handler);
        Ok(())
    }

    fn init(&mut self, attribute: &Attribute, signature: &Signature) -> Result<()> {
        nothing("#[init]", arguments(attribute)?)?;
        if self.init.is_some() {
            return Err(Error::new_spanned(attribute, "a workflow has one #[init]"));
        }
        refuse_qualifiers(signature, "#[init]")?;
        if let Some(asyncness) = &signature.asyncness {
            let text = "#[init] makes the state before the run begins, so it cannot await";
            return Err(Error::new(asyncness.span(), text));
        }
        let by_reference = |argument: &FnArg| match argument {
            FnArg::Typed(parameter) => is_shared_reference(parameter),
            FnArg::Receiver(_) => false,
        };
        if signature.inputs.len() > 1 || !signature.inputs.iter().all(by_reference) {
            return Err(Error::new_spanned(
                signature,
                "#[init] takes the input by reference: `fn new(input: &Input) -> Self`",
            ));
        }
        self.init = Some(Init { method: signature.ident.clone(), takes_input: !signature.inputs.is_empty() });
        Ok(())
    }

    /// Gives every update its validator.
    pub(super) fn pair(&mut self) -> Result<()> {
        let mut judged: BTreeMap<Ident, Ident> = BTreeMap::new();
        for validator in std::mem::take(&mut self.validators) {
            let update = self.handlers.iter_mut().find(|handler| handler.signature.ident == validator.of);
            let Some(update) = update.filter(|handler| handler.kind == Kind::Update) else {
                let text = format!(
                    "there is no #[update] method `{}` in this block; write the method's name here, not the update's",
                    validator.of
                );
                return Err(Error::new(validator.of.span(), text));
            };
            if let Some(first) = judged.insert(validator.of.clone(), validator.method.clone()) {
                let text = format!("`{first}` judges `{}` already; an update has one #[validate]", validator.of);
                return Err(Error::new(validator.of.span(), text));
            }
            if validator.takes_argument && update.argument.is_none() {
                let text = format!("`{}` takes no argument, so there is none to look at", validator.of);
                return Err(Error::new(validator.method.span(), text));
            }
            update.validator = Some(validator);
        }
        Ok(())
    }
}

fn validator(attribute: &Attribute, attributes: &[Attribute], signature: &Signature) -> Result<Validator> {
    const RULE: &str = "a validator looks at the state and the update's argument and changes neither: \
                        `fn check(&self, item: &Item) -> Result<(), Refusal>`";
    let of: Tokens = arguments(attribute)?;
    let of: Ident = syn::parse2(of.clone()).map_err(|_| {
        let text = "write the method of the update that it judges: `#[validate(add)]`";
        Error::new(if of.is_empty() { attribute.span() } else { of.span() }, text)
    })?;
    refuse_qualifiers(signature, "#[validate]")?;
    if let Some(asyncness) = &signature.asyncness {
        let text = "a validator judges at once and cannot await; what takes time belongs in the update";
        return Err(Error::new(asyncness.span(), text));
    }
    let this = signature.receiver().ok_or_else(|| Error::new(signature.ident.span(), RULE))?;
    if this.reference.is_none() || this.mutability.is_some() {
        return Err(Error::new_spanned(this, RULE));
    }
    let mut takes_argument = false;
    for argument in signature.inputs.iter().skip(1) {
        let FnArg::Typed(parameter) = argument else { continue };
        if takes_argument || !is_shared_reference(parameter) {
            return Err(Error::new_spanned(parameter, RULE));
        }
        takes_argument = true;
    }
    if matches!(signature.output, ReturnType::Default) {
        return Err(Error::new(signature.ident.span(), RULE));
    }
    let conditions = attributes.iter().filter(|a| a.path().is_ident("cfg")).cloned().collect();
    Ok(Validator { of, method: signature.ident.clone(), takes_argument, conditions })
}

fn is_shared_reference(parameter: &PatType) -> bool {
    matches!(&*parameter.ty, Type::Reference(reference) if reference.mutability.is_none())
}
