//! The way of an attempt to its code: straight, or through the interceptors.

use std::{future::ready, sync::Arc};

use highwater_core::{
    activity::{ActivityContext, ActivitySet, BoxFuture, Work},
    intercept::{ActivityAttempt, NextAttempt},
};
use highwater_protocol::{Failure, FailureKind, Payload, TypeName, event::Outcome};

use super::{catalog::ActivityCatalog, host::Slot, work::blocking};

/// The work of an attempt.
pub(super) fn work(
    catalog: &Arc<ActivityCatalog>,
    set: Arc<dyn ActivitySet>,
    context: ActivityContext,
    input: &Payload,
    slot: &Slot,
) -> Work {
    if catalog.interceptors().is_empty() {
        let name = context.info().name.clone();
        return set.dispatch(name.as_str(), &context, input).unwrap_or_else(|| Work::Async(unknown(&name)));
    }
    let (catalog, slot) = (Arc::clone(catalog), Arc::clone(slot));
    let attempt = ActivityAttempt { context, input: input.clone() };
    Work::Async(Box::pin(async move {
        let code = move |attempt: ActivityAttempt| code(Arc::clone(&set), &attempt, &slot);
        NextAttempt::new(catalog.interceptors(), &code).run(attempt).await
    }))
}

/// The code, behind the last interceptor.
fn code(set: Arc<dyn ActivitySet>, attempt: &ActivityAttempt, slot: &Slot) -> BoxFuture<'static, Outcome> {
    let name = attempt.context.info().name.clone();
    match set.dispatch(name.as_str(), &attempt.context, &attempt.input) {
        Some(Work::Async(future)) => future,
        // Code that blocks goes on when the interceptors are dropped, and so does its slot.
        Some(Work::Blocking(code)) => Box::pin(blocking(code, Arc::clone(slot))),
        None => unknown(&name),
    }
}

fn unknown(name: &TypeName) -> BoxFuture<'static, Outcome> {
    let text = format!("the set that names activity {name} does not run it");
    Box::pin(ready(Outcome::Failed(Failure::new(FailureKind::Unknown, text))))
}
