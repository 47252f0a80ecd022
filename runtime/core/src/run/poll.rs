//! Running the code, and taking what it asks for.

use std::task::{Context, Poll};

use highwater_protocol::{Event, Failure, FailureKind};

use super::{
    Conclusion, Due, Run, Shared, TaskFailure, Transition, limits,
    tasks::{Ended, Lent, Role},
};

/// How many times the code may wake itself in one activation before it is held to loop without waiting.
const POLLS_MAX: u32 = 100_000;

/// How many times in one activation the code may answer refused calls with calls that are refused again.
const REFUSALS_MAX: u32 = 1_000;

impl Run {
    /// Polls the code until it waits for something that is not there.
    pub(super) fn poll(&mut self) -> Result<(), TaskFailure> {
        self.due = Due::Nothing;
        let Some(live) = &self.live else { return Ok(()) };
        if self.closed || self.conclusion.is_some() {
            return Ok(());
        }
        if live.shared.is_delayed() {
            // Updates that change the state only are done already.
            live.shared.take_commands(&mut self.unmatched);
            return Ok(());
        }
        self.begun = true;
        live.shared.set_history_size(self.event_number, self.bytes);
        run_tasks(&live.shared)?;
        let unmatched = &mut self.unmatched;
        let mut take = || {
            let conclusion = live.shared.conclusion().map(|conclusion| live.shared.outbound_conclusion(conclusion));
            live.shared.take_commands(unmatched);
            conclusion
        };
        let taken = if live.shared.is_intercepted() { live.shared.run_code(take) } else { Ok(take()) };
        let conclusion = taken.map_err(|panic| Self::panicked(&live.shared, &panic))?;
        self.conclusion = conclusion.map(|conclusion| {
            live.shared.mute();
            self.limits.conclusion(conclusion)
        });
        if self.conclusion.is_some() {
            return Ok(());
        }
        let unhandled = live.shared.unhandled_updates.borrow().first().cloned();
        match unhandled {
            Some(update) => {
                let recorded = Event::UpdateAccepted(Box::new(update));
                Err(self.nondeterminism(&recorded, "has no handler for this update"))
            }
            None => live.shared.check_waits(),
        }
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
            let mut commands = Vec::from(std::mem::take(&mut self.unmatched));
            // What the others follow from goes before them, so that replay finds it in time.
            commands.sort_by_key(|command| !matches!(command, Event::Patched { .. }));
            for mut command in commands {
                if let Some(refusal) = self.limits.refusal(&command) {
                    limits::strip(&mut command);
                    refusals.push(refusal);
                }
                self.note(&command);
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
                    let applied = live.apply(&event);
                    self.note(&event);
                    applied.map_err(|found| self.nondeterminism(&event, &found))?;
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

/// Polls those who were woken, in the order in which they were made, again and again until nobody is.
fn run_tasks(shared: &Shared) -> Result<(), TaskFailure> {
    shared.wake_waiters();
    for _ in 0..POLLS_MAX {
        shared.check_woken()?;
        let woken = shared.tasks.take_woken();
        if woken.is_empty() {
            return Ok(());
        }
        for task in &woken {
            run_task(shared, *task)?;
            if shared.is_concluded() {
                return Ok(());
            }
        }
        shared.tasks.reuse(woken);
    }
    let text = format!(
        "the code woke itself {POLLS_MAX} times without waiting for anything{}; await an operation of `ctx` in the loop",
        shared.after_last()
    );
    Err(TaskFailure { failure: Failure::new(FailureKind::Stuck, text) })
}

fn run_task(shared: &Shared, number: u64) -> Result<(), TaskFailure> {
    let Some(Lent { role, mut code, waker }) = shared.tasks.lend(number) else { return Ok(()) };
    let polled = shared.run_code(|| code.as_mut().poll(&mut Context::from_waker(&waker)));
    let left = match &polled {
        Ok(Poll::Pending) => shared.tasks.put_back(number, code),
        Ok(Poll::Ready(_)) | Err(_) => {
            // Its code is here, so nothing comes back.
            drop(shared.tasks.remove(number));
            Some(code)
        }
    };
    let polled = match shared.run_code(|| drop(left)) {
        Ok(()) => polled,
        Err(panic) => Err(panic),
    };
    match (polled, role) {
        (Ok(Poll::Pending | Poll::Ready(Ended::Quietly)), _) => {}
        (Ok(Poll::Ready(Ended::Concluded(conclusion))), _) => drop(shared.ending.replace(Some(conclusion))),
        (Ok(Poll::Ready(Ended::Answered(outcome))), Role::Update(id, _)) => shared.close_update(&id, outcome),
        (Err(panic), Role::Update(id, _)) => shared.panicked(&id, &panic),
        (Ok(Poll::Ready(Ended::Answered(_))), _) => unreachable!("only updates are answered"),
        (Err(panic), _) => return Err(Run::panicked(shared, &panic)),
    }
    Ok(())
}

impl Shared {
    /// Whether the workflow has returned, and no handler is left for which the run waits.
    fn is_concluded(&self) -> bool {
        self.ending.borrow().is_some() && !self.tasks.hold()
    }

    fn conclusion(&self) -> Option<Conclusion> {
        if self.is_concluded() { self.ending.take() } else { None }
    }
}
