//! Workflows that do everything in a random order, with completions in a random order: whatever happens, a run that is
//! rebuilt from any part of its history is the run that was there.

mod happening;
mod mixed;
mod social;

use std::sync::Arc;

use highwater_core::run::Registry;

use crate::play::{Mode, Play, registry};
use happening::happening;

/// How many runs are played; each in all modes and with a crash behind every event.
const SEEDS: u64 = 60;

/// How many batches a run gets at most; it is cut off then, as nothing promises that it ends.
const BATCHES_MAX: usize = 80;

/// SplitMix64, so that a seed means the same run for ever.
struct Dice(u64);

impl Dice {
    fn roll(&mut self, sides: u64) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        (mixed ^ (mixed >> 31)) % sides
    }
}

fn drive(registry: &Arc<Registry>, seed: u64, mode: Mode) -> (Vec<String>, usize) {
    let mut dice = Dice(seed ^ 0xd1ce);
    let mut play = Play::new(registry, mode);
    let mut answers = play.line(&format!("start {seed}"));
    for _ in 0..BATCHES_MAX {
        if play.concluded {
            break;
        }
        let batch = (0..=dice.roll(3)).map(|_| happening(&mut play, &mut dice)).collect();
        answers.push("---".to_owned());
        answers.extend(play.give(batch).unwrap_or_else(|failure| panic!("{}", failure.failure)));
    }
    (answers, play.history.iter().map(|piece| piece.events.len()).sum())
}

/// Tells the seed when a check fails on the way out.
struct Seed(u64);

impl Drop for Seed {
    fn drop(&mut self) {
        if std::thread::panicking() {
            eprintln!("the seed was {}", self.0);
        }
    }
}

/// Plays all seeds and tells how many runs came to their end, and how many events the longest history has.
fn play_all(registry: &Arc<Registry>) -> (u64, usize) {
    let (mut concluded, mut longest) = (0, 0);
    for seed in 0..SEEDS {
        let _seed = Seed(seed);
        let (kept, events) = drive(registry, seed, Mode::Kept);
        assert_eq!(drive(registry, seed, Mode::Evicted), (kept.clone(), events));
        assert_eq!(drive(registry, seed, Mode::Cut).0, kept);
        concluded += u64::from(kept.last().is_some_and(|last| last.starts_with("completed")));
        longest = longest.max(events);
    }
    (concluded, longest)
}

#[test]
fn a_run_rebuilt_from_any_part_of_its_history_is_the_run_that_was_there() {
    let (concluded, longest) = play_all(&registry(mixed::Mixed::run));
    // Or this test would prove nothing.
    assert!(concluded > SEEDS / 2, "only {concluded} of {SEEDS} runs came to their end");
    assert!(longest > 60, "the longest history has {longest} events only");
}

#[test]
fn a_rebuilt_run_that_deals_with_others_is_the_run_that_was_there() {
    let (concluded, longest) = play_all(&registry(social::Social::run));
    assert!(concluded > SEEDS / 2, "only {concluded} of {SEEDS} runs came to their end");
    assert!(longest > 60, "the longest history has {longest} events only");
}
