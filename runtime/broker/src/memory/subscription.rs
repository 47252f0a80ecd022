//! Listening to messages outside of any stream.

use std::sync::Arc;

use tokio::sync::mpsc::UnboundedReceiver;

use super::shared::Shared;
use crate::{error::Error, message::PlainMessage, rules::check_subject};

/// Listens until it is dropped.
pub(super) struct Subscription {
    pub(super) shared: Arc<Shared>,
    subject: String,
    number: u64,
    pub(super) messages: UnboundedReceiver<PlainMessage>,
}

impl Subscription {
    pub(super) fn new(shared: &Arc<Shared>, subject: &str) -> Result<Self, Error> {
        // With wildcards replaced, as those may be listened to.
        check_subject(&subject.replace(['*', '>'], "x"), None)?;
        let mut state = shared.lock();
        state.faults.check()?;
        let (number, messages) = state.router.listen(subject);
        drop(state);
        Ok(Self { shared: Arc::clone(shared), subject: subject.to_owned(), number, messages })
    }
}

impl Drop for Subscription {
    fn drop(&mut self) {
        self.shared.lock().router.end(&self.subject, self.number);
    }
}
