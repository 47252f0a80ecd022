//! Going on as a new run.

use std::{fmt, marker::PhantomData};

use highwater_protocol::{
    Failure, FailureKind, Payload, Payloads, TypeName,
    event::{AttributeValue, Attributes},
};
use serde::Serialize;

use super::Ctx;
use crate::{definition::Workflow, fault::Exit, run::NextRun};

/// The run that is to follow this one. `?` or [`exit`](Self::exit) make it the end of this run.
#[must_use = "return it: `return Err(next.exit())`"]
pub struct ContinueAsNew<W> {
    next: Result<NextRun, Failure>,
    workflow: PhantomData<fn() -> W>,
}

impl<W> fmt::Debug for ContinueAsNew<W> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("ContinueAsNew").field(&self.next).finish()
    }
}

impl<S: 'static> Ctx<S> {
    /// Ends this run and starts another of type `W` under the same id with an empty history: `return
    /// Err(ctx.continue_as_new::<subscription>(next))`. Signals that were not taken go along, and so do memo, search
    /// attributes, timeouts and the parent.
    pub fn continue_as_new<W: Workflow>(&self, input: W::Input) -> Exit<W::Err> {
        self.next_run::<W>(input).exit()
    }

    /// As [`continue_as_new`](Self::continue_as_new), when there is more to say of the next run.
    ///
    /// ```
    /// # extern crate highwater_core as highwater;
    /// # use highwater::{Ctx, Exit};
    /// # use highwater_macros::workflow;
    /// #[workflow]
    /// async fn subscription(ctx: Ctx, month: u32) -> Result<(), Exit> {
    ///     Err(ctx.next_run::<subscription>(month + 1).memo("month", &month).attribute("month", month + 1).exit())
    /// }
    /// ```
    pub fn next_run<W: Workflow>(&self, input: W::Input) -> ContinueAsNew<W> {
        let refused = |text: String| Failure::new(FailureKind::Payload, text);
        let next = TypeName::new(W::NAME).map_err(|error| refused(error.to_string())).and_then(|workflow_type| {
            let input =
                Payload::encode(&input).map_err(|error| refused(format!("the input of the next run: {error}")))?;
            Ok(NextRun { workflow_type, input, memo: Payloads::default(), attributes: Attributes::default() })
        });
        ContinueAsNew { next, workflow: PhantomData }
    }
}

impl<W: Workflow> ContinueAsNew<W> {
    fn try_set(mut self, change: impl FnOnce(&mut NextRun) -> Result<(), String>) -> Self {
        if let Ok(next) = &mut self.next
            && let Err(problem) = change(next)
        {
            self.next = Err(Failure::new(FailureKind::Payload, problem));
        }
        self
    }

    /// A note for the next run, in the place of one of the same name. A value that cannot be encoded fails this run.
    pub fn memo<V: Serialize + ?Sized>(self, name: &str, value: &V) -> Self {
        self.try_set(|next| {
            let payload = Payload::encode(value).map_err(|error| format!("the memo {name:?}: {error}"))?;
            next.memo.insert(name, payload);
            Ok(())
        })
    }

    /// A search attribute of the next run, in the place of one of the same name. One that cannot be searched for fails
    /// this run.
    pub fn attribute(self, name: &str, value: impl Into<AttributeValue>) -> Self {
        self.try_set(|next| {
            next.attributes.insert(name, value);
            next.attributes.check().map_err(|error| error.to_string())
        })
    }

    /// How this run ends, so that the next one follows.
    pub fn exit(self) -> Exit<W::Err> {
        match self.next {
            Ok(next) => Exit::ContinueAsNew(Box::new(next)),
            Err(failure) => Exit::Call(failure),
        }
    }
}
