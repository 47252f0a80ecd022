//! Signals, queries and updates on their way to what takes them.

use futures_util::FutureExt;
use highwater_protocol::{
    Event, Failure, FailureKind, Payload, TypeName, UpdateId,
    event::{Outcome, Signal, Update},
    payload,
    rejection::{Code, Rejection},
};

use super::{
    Conclusion, Shared, Unhandled,
    handlers::{SignalHandler, Work},
    mismatch,
    tasks::{Code as TaskCode, Ended, Role},
};
use crate::definition::Bound;

impl Shared {
    /// Adds a handler, for any name when there is none, which takes what has been waiting for it.
    ///
    /// # Panics
    ///
    /// At the line of the user's code, when there is such a handler already.
    #[track_caller]
    pub(crate) fn handle(&self, name: Option<&str>, method: &str, handler: Bound) {
        self.refuse_in_query("a handler was registered");
        let added = self.handlers.borrow_mut().add(name, method, handler);
        if let Err(twice) = added {
            panic!("{twice}");
        }
        let waiting = self.mailbox.borrow_mut().take_if(|name| self.signal_handler(name).is_some());
        for signal in waiting {
            self.signal(&signal);
        }
        let waiting = self.unhandled_updates.take();
        for update in waiting {
            self.begin_update(&update);
        }
    }

    // Tasks.

    /// Runs the workflow itself.
    pub(super) fn run_main(&self, code: impl Future<Output = Conclusion> + 'static) {
        self.add_task(Role::Main, code.map(Ended::Concluded).boxed_local());
    }

    pub(crate) fn add_task(&self, role: Role, code: TaskCode) -> u64 {
        self.tasks.add(role, code)
    }

    /// The code no longer wants a task that it spawned.
    pub(crate) fn end_task(&self, number: u64) {
        if !self.muted.get() && !self.answering.get() {
            drop(self.tasks.remove(number));
        }
    }

    // Signals.

    /// Gives a signal to its handler, or keeps it until somebody receives it.
    pub(super) fn signal(&self, signal: &Signal) {
        match self.signal_handler(&signal.name) {
            Some(handler) => self.begin_signal(&handler, signal),
            None => self.mailbox.borrow_mut().push(signal),
        }
    }

    /// What takes signals of this name. The handler of any name takes none that the code receives by itself.
    fn signal_handler(&self, name: &TypeName) -> Option<SignalHandler> {
        let signals = &self.handlers.borrow().signals;
        let any = || if self.is_received(name) { None } else { signals.any() };
        signals.named(name).or_else(any)
    }

    fn begin_signal(&self, handler: &SignalHandler, signal: &Signal) {
        match (handler.begin)(&signal.name, &self.inbound_signal(signal).input) {
            Ok(Work::Done(())) => {}
            Ok(Work::Task(task)) => {
                let role = Role::Signal(signal.name.clone(), handler.ending.clone());
                self.tasks.add(role, task.map(|()| Ended::Quietly).boxed_local());
            }
            Err(error) => self.unfit(signal, &error),
        }
    }

    /// Keeps a signal whose argument does not fit, and tells.
    pub(crate) fn unfit(&self, signal: &Signal, error: &payload::Error) {
        tracing::error!(
            signal = %signal.name, %error,
            "a signal's argument does not fit what takes it; it is kept and changes nothing"
        );
        self.mailbox.borrow_mut().push_unfit(signal, error.to_string());
    }

    /// From here on the code receives signals of this name by itself.
    #[track_caller]
    pub(crate) fn receive(&self, name: &TypeName) {
        self.refuse_in_query("ctx.signals");
        let mut received = self.received.borrow_mut();
        if let Err(at) = received.binary_search(name) {
            received.insert(at, name.clone());
        }
    }

    fn is_received(&self, name: &TypeName) -> bool {
        self.received.borrow().binary_search(name).is_ok()
    }

    #[track_caller]
    pub(crate) fn pop_signal(&self, name: &TypeName) -> Option<Signal> {
        self.refuse_in_query("a signal was taken");
        self.mailbox.borrow_mut().pop(name)
    }

    pub(crate) fn signals_left(&self) -> Vec<Signal> {
        self.mailbox.borrow().left()
    }

    /// Tells of signals that came in lately and that nothing takes so far.
    pub(super) fn tell_unhandled(&self) -> Result<(), String> {
        let new = self.mailbox.borrow_mut().newly_left(|name| self.is_received(name));
        if new.is_empty() {
            return Ok(());
        }
        self.run_code(|| {
            for signal in new {
                tracing::warn!(
                    signal = %signal.name,
                    "nothing takes signals of this name; this one is kept until something does"
                );
            }
        })
    }

    pub(crate) fn unhandled_signals(&self) -> Vec<Unhandled> {
        self.mailbox.borrow().unhandled(|name| self.is_received(name))
    }

    // Updates.

    pub(super) fn has_accepted(&self, id: &UpdateId) -> bool {
        self.updates.borrow().contains(id)
    }

    /// Asks whether an update may be accepted. Nothing changes.
    pub(super) fn judge(&self, update: &Update) -> Result<(), Rejection> {
        let Some(handler) = self.handlers.borrow().updates.find(&update.name) else {
            let (name, known) = (&update.name, mismatch::list(&self.handlers.borrow().updates.names()));
            let begins = if self.is_delayed() {
                "; it begins when its start delay has passed, and may have more then"
            } else {
                ""
            };
            let reason = format!("workflow {} has no update {name}; it has: {known}{begins}", self.workflow_type);
            return Err(Rejection::new(Code::UnknownName, reason));
        };
        let judged =
            self.run_code(|| self.answering(|| (handler.validate)(&update.name, &self.inbound_update(update).input)));
        match judged {
            Ok(Ok(Ok(()))) => Ok(()),
            // The reason travels in a header, so it is kept short as failures are.
            Ok(Ok(Err(reason))) => Err(Rejection::new(Code::Refused, Failure::application(reason).message)),
            Ok(Err(error)) => {
                let reason = format!("the argument of update {} does not fit: {error}", update.name);
                Err(Rejection::new(Code::BadArgument, reason))
            }
            Err(panic) => {
                let reason = format!("the validator of update {} panicked: {panic}", update.name);
                Err(Rejection::new(Code::Refused, reason))
            }
        }
    }

    /// Takes an update that was accepted; an error says what the code had instead.
    pub(super) fn accept(&self, update: &Update) -> Result<(), String> {
        if !self.updates.borrow_mut().insert(update.id.clone()) {
            return Err(format!("has accepted update {} already", update.id));
        }
        self.begin_update(update);
        Ok(())
    }

    fn begin_update(&self, update: &Update) {
        let Some(handler) = self.handlers.borrow().updates.find(&update.name) else {
            self.unhandled_updates.borrow_mut().push(update.clone());
            return;
        };
        match self.run_code(|| (handler.begin)(&update.name, &self.inbound_update(update).input)) {
            Ok(Ok(Work::Done(outcome))) => self.close_update(&update.id, outcome),
            Ok(Ok(Work::Task(task))) => {
                let role = Role::Update(update.id.clone(), handler.ending.clone());
                self.tasks.add(role, task.map(Ended::Answered).boxed_local());
            }
            Ok(Err(error)) => {
                let text = format!("the argument of update {} does not fit: {error}", update.name);
                self.close_update(&update.id, Outcome::Failed(Failure::new(FailureKind::Payload, text)));
            }
            Err(panic) => self.panicked(&update.id, &panic),
        }
    }

    /// The handler of an update panicked: that ends the update, and the run goes on.
    pub(super) fn panicked(&self, id: &UpdateId, panic: &str) {
        self.close_update(id, Outcome::Failed(Failure::new(FailureKind::Panic, panic)));
    }

    pub(super) fn close_update(&self, id: &UpdateId, outcome: Outcome) {
        let outcome = self.limits.outcome("the result of the update", outcome);
        self.commands.borrow_mut().push(Event::UpdateClosed { id: id.clone(), outcome });
    }

    // Queries.

    pub(super) fn query(&self, name: &TypeName, input: &Payload) -> Option<Result<Payload, payload::Error>> {
        let handler = self.handlers.borrow().queries.find(name)?;
        let answer = handler(name, &self.inbound_query(name, input));
        Some(answer.map(|answer| self.outbound_answer(name, answer)))
    }

    pub(super) fn queries(&self) -> Vec<String> {
        self.handlers.borrow().queries.names()
    }
}
