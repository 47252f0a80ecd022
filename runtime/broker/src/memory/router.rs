//! Messages outside of any stream: who listens to what.

use std::collections::HashMap;

use tokio::sync::mpsc::{UnboundedReceiver, UnboundedSender, unbounded_channel};

use crate::{message::PlainMessage, rules::matches};

/// Who listens.
#[derive(Debug, Default)]
pub(super) struct Router {
    /// Subjects without wildcards, which most are.
    plain: HashMap<String, Vec<Listener>>,
    wild: Vec<(String, Listener)>,
    next: u64,
}

#[derive(Debug)]
struct Listener {
    number: u64,
    send: UnboundedSender<PlainMessage>,
}

impl Router {
    /// Begins to listen; the number is for ending it.
    pub(super) fn listen(&mut self, subject: &str) -> (u64, UnboundedReceiver<PlainMessage>) {
        let (send, receive) = unbounded_channel();
        self.next += 1;
        let listener = Listener { number: self.next, send };
        if is_wild(subject) {
            self.wild.push((subject.to_owned(), listener));
        } else {
            self.plain.entry(subject.to_owned()).or_default().push(listener);
        }
        (self.next, receive)
    }

    pub(super) fn end(&mut self, subject: &str, number: u64) {
        if is_wild(subject) {
            self.wild.retain(|(_, listener)| listener.number != number);
        } else if let Some(listeners) = self.plain.get_mut(subject) {
            listeners.retain(|listener| listener.number != number);
            if listeners.is_empty() {
                self.plain.remove(subject);
            }
        }
    }

    /// Hands a message to everybody who listens, and tells whether anybody does.
    pub(super) fn deliver(&self, message: &PlainMessage) -> bool {
        let plain = self.plain.get(&message.subject).into_iter().flatten();
        let wild = self.wild.iter().filter(|(filter, _)| matches(filter, &message.subject)).map(|(_, found)| found);
        plain.chain(wild).filter(|listener| listener.send.send(message.clone()).is_ok()).count() > 0
    }
}

/// Whether a subject has wildcards.
pub(super) fn is_wild(subject: &str) -> bool {
    subject.split('.').any(|token| matches!(token, "*" | ">"))
}
