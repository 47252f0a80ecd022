//! Giving a history to the code.

use std::{sync::Arc, thread};

use highwater_core::run::{Limits, Registry, Run, TaskFailure};
use highwater_protocol::Timestamp;

use super::History;

/// The limits of a server as it is set up by default: sizes decide nothing when what is on record is replayed.
const LIMITS: Limits = Limits { payload_max: 1024 * 1024 };

/// Replays a history, and tells what the code waits for at its end, in words.
///
/// On a thread of its own, as a worker does it: with no async runtime there, code that reaches for one is found out.
pub(crate) fn play(registry: &Arc<Registry>, history: &History) -> Result<Vec<String>, TaskFailure> {
    let played = thread::scope(|scope| scope.spawn(|| play_here(registry, history)).join());
    // Panics of the code are caught further inside.
    played.unwrap_or_else(|panic| std::panic::resume_unwind(panic))
}

fn play_here(registry: &Arc<Registry>, history: &History) -> Result<Vec<String>, TaskFailure> {
    let mut run = Run::new(Arc::clone(registry), LIMITS);
    for (events, time) in &history.records {
        run.replay(history.run, events, *time)?;
    }
    let end = history.records.last().map_or(Timestamp::ZERO, |(_, time)| *time);
    run.finish_replay(end)?;
    Ok(run.waits_for())
}
