//! A history and what the code does instead, side by side around the first difference.

use std::{
    cell::RefCell,
    collections::VecDeque,
    fmt::{Display, Write},
};

use highwater_protocol::{Event, Failure, event::Class};

use super::TaskFailure;

/// How many events are shown before the difference, and after it.
const AROUND: usize = 3;

/// The widest that the left column gets, in characters.
const COLUMN_MAX: usize = 60;

/// What a replay has gone through last, and where it stopped.
#[derive(Default)]
pub(super) struct Beside {
    /// The events before the present record.
    passed: VecDeque<Event>,
    /// The number of the event at which the code differs, and what it does there.
    difference: RefCell<Option<(u64, String)>>,
}

impl Beside {
    /// The code has gone through a record.
    pub(super) fn passed(&mut self, events: &[Event]) {
        self.passed.extend(events[events.len().saturating_sub(AROUND)..].iter().cloned());
        self.passed.drain(..self.passed.len().saturating_sub(AROUND));
    }

    /// Notes where the code differs.
    pub(super) fn differ(&self, number: u64, code: &str) {
        self.difference.replace(Some((number, code.to_owned())));
    }

    /// The failure with both lists, if it is about a difference in this record; `before` is the number of the event
    /// before it, and `issued` what the code has asked for beyond the difference.
    pub(super) fn show<'a>(
        &self,
        failure: TaskFailure,
        before: u64,
        record: &[Event],
        issued: impl IntoIterator<Item = &'a Event>,
    ) -> TaskFailure {
        let Some((number, code)) = self.difference.take() else { return failure };
        let first = before + 1 - self.passed.len() as u64;
        let recorded = (first..).zip(self.passed.iter().chain(record));
        let mut issued = issued.into_iter().peekable();
        if issued.peek().is_some_and(|next| code == format!("issued {next}")) {
            issued.next();
        }
        let mut rows: Vec<[String; 3]> = Vec::new();
        for (at, event) in recorded.filter(|(at, _)| at.abs_diff(number) <= AROUND as u64) {
            let beside = match event {
                _ if at == number => code.clone(),
                _ if at > number => issued.next().map_or_else(String::new, ToString::to_string),
                // What came from outside is no doing of the code's.
                _ if event.class() == Class::Inbound => String::new(),
                _ => event.to_string(),
            };
            let mark = if at == number { "▶" } else { " " };
            rows.push([format!("{mark} {at}"), cut(event), beside]);
        }
        rows.extend(issued.take(AROUND).map(|event| [String::new(), String::new(), event.to_string()]));
        let failure = failure.failure;
        let message = format!("{}\n{}", failure.message, table(&rows));
        TaskFailure { failure: Failure { details: failure.details, ..Failure::new(failure.kind, message) } }
    }
}

fn cut(text: impl Display) -> String {
    let text = text.to_string();
    if text.chars().count() <= COLUMN_MAX {
        return text;
    }
    text.chars().take(COLUMN_MAX - 1).chain(['…']).collect()
}

fn table(rows: &[[String; 3]]) -> String {
    let width = |column: usize| rows.iter().map(|row| row[column].chars().count()).max().unwrap_or(0);
    let (number, recorded) = (width(0), width(1).max("on record".len()));
    let mut text = format!("  {:number$}  {:recorded$} | the code", "", "on record");
    for [at, event, code] in rows {
        write!(text, "\n  {at:number$}  {event:recorded$} | {code}").expect("a string takes everything");
    }
    // What is empty in the right column leaves nothing behind it.
    text.lines().map(str::trim_end).collect::<Vec<_>>().join("\n")
}
