//! What may happen to a run.

use highwater_core::open::OpenOperations;
use highwater_protocol::Event;

use super::Dice;
use crate::play::{Play, parse};

/// Something that may happen to the run now, including what does not concern it any more.
pub(super) fn happening(play: &mut Play, dice: &mut Dice) -> Event {
    let mut open = OpenOperations::default();
    for piece in &play.history {
        for event in &piece.events {
            open.apply(event, piece.time);
        }
    }
    let line = match dice.roll(24) {
        0..4 => of_activity(&open, dice),
        4..7 => pick(open.timers.keys().map(|op| op.0), dice).map(|op| format!("fire {op}")),
        7..10 => pick(play.open_steps().into_iter(), dice).map(|op| format!("step {op}")),
        10..14 => of_child(&open, dice),
        14..16 => of_message(&open, dice),
        16 => Some(format!("activity {} ok 1", dice.roll(20))),
        17 => Some(format!("sent {}", dice.roll(20))),
        18 => Some(format!("signal value {}", dice.roll(50))),
        19 => Some(format!("signal job {}", dice.roll(50))),
        20 => Some(of_update(dice)),
        21 if dice.roll(12) == 0 => Some("cancel why".to_owned()),
        _ => None,
    };
    parse(play, &line.unwrap_or_else(|| "signal bump".to_owned()))
}

fn of_activity(open: &OpenOperations, dice: &mut Dice) -> Option<String> {
    let op = pick(open.activities.keys().map(|op| op.0), dice)?;
    let failed = dice.roll(5) == 0;
    Some(if failed { format!("activity {op} error \"no\"") } else { format!("activity {op} ok {}", dice.roll(50)) })
}

fn of_child(open: &OpenOperations, dice: &mut Dice) -> Option<String> {
    let op = pick(open.children.keys().map(|op| op.0), dice)?;
    Some(match dice.roll(8) {
        0..4 => format!("child {op} started"),
        4 => format!("child {op} error \"no\""),
        5 => format!("child {op} exists"),
        _ => format!("child {op} ok {}", dice.roll(50)),
    })
}

/// A message to another workflow has arrived or not, and so has a request to a child to cancel.
fn of_message(open: &OpenOperations, dice: &mut Dice) -> Option<String> {
    let told = open.children.iter().filter(|(_, child)| child.cancel.is_some() && !child.cancel_delivered);
    let ops: Vec<u64> = open.externals.keys().chain(told.map(|(op, _)| op)).map(|op| op.0).collect();
    let op = pick(ops.into_iter(), dice)?;
    Some(if dice.roll(4) == 0 { format!("sent {op} not-found") } else { format!("sent {op}") })
}

fn of_update(dice: &mut Dice) -> String {
    // Few ids, so that some come again.
    let id = dice.roll(40);
    match dice.roll(8) {
        0..3 => format!("update slow u-{id} {}", dice.roll(60)),
        3..5 => format!("update brief u-{id} {}", dice.roll(60)),
        5 => format!("update brief u-{id} \"no number\""),
        6 => format!("update endless u-{id}"),
        _ => format!("update unknown u-{id}"),
    }
}

fn pick(of: impl Iterator<Item = u64>, dice: &mut Dice) -> Option<u64> {
    let of: Vec<u64> = of.collect();
    of.get(dice.roll(of.len().max(1) as u64) as usize).copied()
}
