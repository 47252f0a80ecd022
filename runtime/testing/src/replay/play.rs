//! Giving a history to the code.

use std::{sync::Arc, thread};

use highwater_core::run::{Limits, Registry, Run, TaskFailure};
use highwater_protocol::Timestamp;

use super::History;

/// The limits of a server as it is set up by default: sizes decide nothing when what is on record is replayed.
const LIMITS: Limits = Limits { payload_max: 1024 * 1024 };

/// What became of a history: what the code waits for at its end, in words, or why it does not fit.
pub(crate) type Played = Result<Vec<String>, TaskFailure>;

/// Replays histories, and tells what became of each.
///
/// On a thread of their own, as a worker does it: with no async runtime there, code that reaches for one is found out.
pub(crate) fn play_all(registry: &Arc<Registry>, histories: &[History]) -> Vec<Played> {
    let play_all = || histories.iter().map(|history| play_here(registry, history)).collect();
    let played = thread::scope(|scope| scope.spawn(play_all).join());
    // Panics of the code are caught further inside.
    played.unwrap_or_else(|panic| std::panic::resume_unwind(panic))
}

fn play_here(registry: &Arc<Registry>, history: &History) -> Played {
    let mut run = Run::new(Arc::clone(registry), LIMITS);
    for (events, time) in &history.records {
        run.replay(history.run, events, *time)?;
    }
    let end = history.records.last().map_or(Timestamp::ZERO, |(_, time)| *time);
    run.finish_replay(end)?;
    Ok(run.waits_for())
}
