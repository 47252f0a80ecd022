//! Watching over a test: one that can come to no end is ended.

use std::{
    collections::BTreeSet,
    future::pending,
    io::Write as _,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use futures_util::StreamExt;
use highwater_broker::{Broker, Delivered, Stream, history::StoredRecord, memory::MemoryBroker};
use highwater_core::run::Registry;
use highwater_protocol::{Event, Failure, Status};
use tokio::time::{Instant, sleep, sleep_until};
use tokio_util::task::AbortOnDropHandle;

use crate::{
    mock::Calls,
    replay::{Elapsed, History, Played, play_all},
};

/// The most virtual time that may pass while a test waits for something other than time. What is to happen by then has
/// happened; what is not will never.
const HORIZON: Duration = Duration::from_hours(100 * 365 * 24);

/// The longest history that a test can have: more than a run should ever have, and a loop without end comes there soon.
const RECORDS_MAX: u64 = 10_000;

/// How many histories a test that failed prints.
const PRINTED_MAX: usize = 20;

/// How long a test may take to notice that nothing more will happen: longer than a client waits between two looks.
const NOTICE: Duration = Duration::from_hours(2 * 365 * 24);

/// When a test is held to wait in vain.
#[derive(Clone, Debug)]
pub(super) struct Horizon(Arc<Mutex<Instant>>);

impl Horizon {
    pub(super) fn new() -> Self {
        Self(Arc::new(Mutex::new(Instant::now() + HORIZON)))
    }

    /// The test lets this much time pass on purpose.
    pub(super) fn extend(&self, by: Duration) {
        let mut at = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        *at = at.checked_add(by).unwrap_or(*at);
    }

    async fn passed(&self) {
        loop {
            let at = *self.0.lock().unwrap_or_else(PoisonError::into_inner);
            if Instant::now() >= at {
                return;
            }
            sleep_until(at).await;
        }
    }
}

/// Watches until it is dropped.
#[derive(Debug)]
pub(super) struct Guard {
    _task: AbortOnDropHandle<()>,
}

impl Guard {
    pub(super) fn new(
        broker: &MemoryBroker,
        registry: &Arc<Registry>,
        calls: Calls,
        horizon: Horizon,
        failures_allowed: bool,
    ) -> Self {
        let (broker, registry) = (broker.clone(), Arc::clone(registry));
        let task = tokio::spawn(async move {
            let reason = tokio::select! {
                () = horizon.passed() => waiting_in_vain(&broker, &registry),
                reason = bad_record(&broker, failures_allowed) => reason,
                reason = calls.runaway() => reason,
            };
            end(&broker, reason).await;
        });
        Self { _task: AbortOnDropHandle::new(task) }
    }
}

/// Ends a test that can come to no end of its own.
async fn end(broker: &MemoryBroker, reason: String) {
    broker.give_up(reason.clone());
    sleep(NOTICE).await;
    // The test awaits something that the environment has no hand in. It would wait for ever, and nobody would know why.
    // Past the harness, which keeps what is printed until the test ends.
    let text = format!("{reason}\nThe test awaits something that is not of the environment; the process ends.\n");
    let _ = std::io::stderr().write_all(text.as_bytes());
    std::process::exit(101);
}

fn waiting_in_vain(broker: &MemoryBroker, registry: &Arc<Registry>) -> String {
    let head = match broker.next_schedule() {
        None => {
            "nothing can run and no timer is armed: what the test waits for will never happen. A signal may be missing; an \
             activity or mock that waits for the world outside holds the time with `hold_time()`."
        }
        Some(_) => {
            "100 years have passed, and what the test waits for has not happened. To let that much time pass on purpose, \
             write `env.sleep(…)`."
        }
    };
    let mut open = History::of_messages(broker.messages(Stream::History));
    open.retain(|history| !history.is_closed());
    let waiting = play_all(registry, &open).into_iter().zip(&open).map(|(played, history)| {
        let id = history.workflow_id().map(ToString::to_string).unwrap_or_default();
        let waits = match played {
            Ok(waits) if waits.is_empty() => "something that is not of `ctx`".to_owned(),
            Ok(waits) => waits.join(", "),
            Err(failed) => format!("nothing any more: {}", failed.failure),
        };
        format!("\n  {id:?} waits for {waits}")
    });
    waiting.fold(head.to_owned(), |text, line| text + &line)
}

/// Waits for a record that says that a test will come to no good end.
async fn bad_record(broker: &MemoryBroker, failures_allowed: bool) -> String {
    let all = broker.subjects().history_all();
    // The memory broker's readers neither fail nor end.
    let Ok(mut messages) = broker.read(Stream::History, vec![all], 1).await else { return pending().await };
    while let Some(Ok(delivered)) = messages.next().await {
        let Delivered::Message(message) = delivered else { continue };
        let Ok(record) = StoredRecord::from_message(message) else { continue };
        if record.frame.ordinal >= RECORDS_MAX {
            return format!(
                "run {} has {RECORDS_MAX} records and goes on and on. Let it continue as new, and mind that a test which waits for \
                 the end of a loop has to see it end.",
                record.frame.run
            );
        }
        // Its header says as much, and most records have not to be decoded.
        let blocked = record.status() == Some(Status::Blocked) && !failures_allowed;
        if let Some(failure) = blocked.then(|| failed_task(&record)).flatten() {
            return cannot_go_on(&failure);
        }
    }
    pending().await
}

/// The failure of a workflow task that a record tells of.
fn failed_task(record: &StoredRecord) -> Option<Failure> {
    let events = record.body().ok()?.events;
    events.into_iter().find_map(|event| match event {
        Event::WorkflowTaskFailed { failure, .. } => Some(failure),
        _ => None,
    })
}

fn cannot_go_on(failure: &Failure) -> String {
    format!("the code of a run cannot go on: {failure}\nTo test that on purpose, write `.allow_task_failures()`.")
}

/// What is wrong with the histories at the end of a test.
pub(super) fn faults(
    broker: &MemoryBroker,
    registry: &Arc<Registry>,
    failures_allowed: bool,
) -> Vec<(History, String)> {
    let histories = History::of_messages(broker.messages(Stream::History));
    let played = play_all(registry, &histories);
    let fault = |(history, played): (History, Played)| {
        let failed = history.events().find_map(|(event, _)| match event {
            Event::WorkflowTaskFailed { failure, .. } => Some(cannot_go_on(failure)),
            _ => None,
        });
        let text = match failed {
            Some(text) => Some(text).filter(|_| !failures_allowed),
            None => played
                .err()
                .map(|failed| format!("replaying the history once more gives something else: {}", failed.failure)),
        };
        text.map(|text| (history, text))
    };
    histories.into_iter().zip(played).filter_map(fault).collect()
}

/// The histories of the runs, for a test that failed: those that have not ended come first.
pub(super) fn print(broker: &MemoryBroker) -> String {
    let mut histories = History::of_messages(broker.messages(Stream::History));
    let began = histories.first().and_then(|history| history.records.first()).map(|(_, time)| *time);
    let passed = began.map_or(Duration::ZERO, |began| broker.now().since(began));
    let ids: BTreeSet<_> = histories.iter().filter_map(History::workflow_id).collect();
    let head = format!("{} after the first start, {} workflows:", Elapsed(passed), ids.len());
    let left = histories.len().saturating_sub(PRINTED_MAX);
    let tail = (left > 0).then(|| format!("… and {left} more"));
    histories.sort_by_key(History::is_closed);
    let shown = histories.iter().take(PRINTED_MAX).map(ToString::to_string);
    [head].into_iter().chain(shown).chain(tail).collect::<Vec<_>>().join("\n\n")
}
