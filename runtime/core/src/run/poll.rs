//! Running the code, and taking what it asks for.

use std::{
    sync::{Arc, atomic::Ordering},
    task::{Context, Poll, Waker},
};

use highwater_protocol::{Event, Failure, FailureKind, Payload};

use super::{Run, TaskFailure, Transition};
use crate::panic;

/// How many times the code may wake itself in one activation before it is held to loop without waiting.
const POLLS_MAX: u32 = 100_000;

/// How many times in one activation the code may answer refused calls with calls that are refused again.
const REFUSALS_MAX: u32 = 1_000;

impl Run {
    /// Polls the code until it waits for something that is not there.
    pub(super) fn poll(&mut self) -> Result<(), TaskFailure> {
        self.unpolled = false;
        let Some(live) = &mut self.live else { return Ok(()) };
        if self.closed || self.conclusion.is_some() {
            return Ok(());
        }
        let waker = Waker::from(Arc::clone(&self.wake));
        for _ in 0..POLLS_MAX {
            // Waking first and clearing then: what is woken here is polled right below.
            live.shared.wake_waiters();
            self.wake.0.store(false, Ordering::Release);
            let polled = panic::catch(|| live.instance.poll(&mut Context::from_waker(&waker)));
            match polled {
                Ok(Poll::Ready(conclusion)) => {
                    self.unmatched.extend(live.shared.take_commands());
                    live.shared.mute();
                    self.conclusion = Some(self.limits.conclusion(conclusion));
                    return Ok(());
                }
                Ok(Poll::Pending) => {}
                Err(panic) => return Err(Self::panicked(&panic)),
            }
            if !self.wake.0.load(Ordering::Acquire) {
                self.unmatched.extend(live.shared.take_commands());
                return Ok(());
            }
        }
        let text = format!(
            "the code woke itself {POLLS_MAX} times without waiting for anything; await an operation of `ctx` in the loop"
        );
        Err(TaskFailure { failure: Failure::new(FailureKind::Stuck, text) })
    }

    /// Moves what the code issued into the transition, failing calls that are too large, which the code sees at once.
    pub(super) fn collect(&mut self, transition: &mut Transition) -> Result<(), TaskFailure> {
        transition.time = self.live.as_ref().map(|live| live.shared.now()).unwrap_or_default();
        if self.closed {
            return Ok(());
        }
        let mut rounds = 0;
        loop {
            let mut refusals = std::mem::take(&mut self.refusals);
            for mut command in self.unmatched.drain(..) {
                if let Event::ActivityScheduled(call) = &mut command
                    && let Some(refusal) = self.limits.refusal(call)
                {
                    call.input = Payload::null();
                    refusals.push(refusal);
                }
                self.event_number += 1;
                transition.events.push(command);
            }
            if refusals.is_empty() {
                break;
            }
            rounds += 1;
            if rounds > REFUSALS_MAX {
                let text =
                    format!("the code called activities with inputs that are too large {REFUSALS_MAX} times over");
                return Err(TaskFailure { failure: Failure::new(FailureKind::Stuck, text) });
            }
            for event in refusals {
                // Recorded even if the code has ended meanwhile: the call is on record, and nobody may carry it out.
                if let Some(live) = &self.live
                    && live.accepts(&event)
                {
                    self.event_number += 1;
                    live.apply(&event).map_err(|found| self.nondeterminism(&event, &found))?;
                    transition.events.push(event);
                }
            }
            self.poll()?;
        }
        if let Some(live) = &self.live {
            transition.steps = live.shared.take_steps();
        }
        transition.conclusion.clone_from(&self.conclusion);
        self.closed = self.conclusion.is_some();
        Ok(())
    }
}
