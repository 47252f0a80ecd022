//! The history of a run, as it is replayed.

use std::{collections::HashMap, fmt};

use highwater_broker::{Message, history::StoredRecord};
use highwater_client::HistoryEvent;
use highwater_protocol::{
    Event, RunId, Started, Timestamp, TypeName, WorkflowId,
    event::Class,
    export::{ExportedEvent, ImportError},
};

/// What happened to one run, record by record.
#[derive(Clone, Debug, PartialEq)]
pub struct History {
    /// The run.
    pub run: RunId,
    /// Its records in order: the events of each, and the workflow's time in it.
    pub records: Vec<(Vec<Event>, Timestamp)>,
}

/// A history cannot be read.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ReadError {
    /// It is not JSON of the right form.
    #[error("this is not what `highwater show -o json` prints: {0}")]
    Json(#[from] serde_json::Error),
    /// There is no event in it.
    #[error("there is no event in it")]
    Empty,
    /// An event cannot be taken back.
    #[error("event {number}: {source}")]
    Event {
        /// Which one, from 1.
        number: usize,
        /// Why.
        source: ImportError,
    },
    /// An event is there for people only.
    #[error("event {number} has no field `exact`: it was exported by an older version; export it again")]
    Inexact {
        /// Which one, from 1.
        number: usize,
    },
    /// Two runs are mixed.
    #[error("it holds events of run {one} and of run {other}; keep each run in a file of its own")]
    Runs {
        /// The run of the first event.
        one: RunId,
        /// The other one.
        other: RunId,
    },
    /// The file cannot be read.
    #[error(transparent)]
    File(#[from] std::io::Error),
}

impl History {
    /// The workflow id, by the first event.
    pub fn workflow_id(&self) -> Option<&WorkflowId> {
        self.started().map(|started| &started.workflow_id)
    }

    /// The workflow type, by the first event.
    pub fn workflow_type(&self) -> Option<&TypeName> {
        self.started().map(|started| &started.workflow_type)
    }

    /// All events in order, each with the workflow's time when it was recorded.
    pub fn events(&self) -> impl Iterator<Item = (&Event, Timestamp)> {
        self.records.iter().flat_map(|(events, time)| events.iter().map(|event| (event, *time)))
    }

    /// Whether the run has ended.
    pub fn is_closed(&self) -> bool {
        self.events().last().is_some_and(|(event, _)| event.class() == Class::Closing)
    }

    fn started(&self) -> Option<&Started> {
        match self.events().next() {
            Some((Event::Started(started), _)) => Some(started),
            _ => None,
        }
    }

    /// The histories that the messages of a history stream hold, in the order in which their runs began.
    pub(crate) fn of_messages(messages: Vec<Message>) -> Vec<Self> {
        let mut histories: Vec<Self> = Vec::new();
        let mut places: HashMap<RunId, usize> = HashMap::new();
        for message in messages {
            // The engine of the same build wrote them.
            let Ok(record) = StoredRecord::from_message(message) else { continue };
            let Ok(body) = record.body() else { continue };
            let time = record.frame.time;
            // A record that starts a run in the place of another holds the end of that one, too.
            let ended = body.previous.map(|previous| (previous.run, previous.events));
            for (run, events) in ended.into_iter().chain([(record.frame.run, body.events)]) {
                let place = *places.entry(run).or_insert(histories.len());
                if place == histories.len() {
                    histories.push(Self { run, records: Vec::new() });
                }
                histories[place].records.push((events, time));
            }
        }
        histories
    }

    /// A history as `highwater show -o json` prints it.
    ///
    /// # Errors
    ///
    /// When it is none, or the version that exported it left out what a replay needs.
    pub fn from_json(json: &str) -> Result<Self, ReadError> {
        let lines: Vec<serde_json::Map<String, serde_json::Value>> = serde_json::from_str(json)?;
        let mut history: Option<Self> = None;
        let mut last = None;
        for (number, mut line) in (1..).zip(lines) {
            let bad = |source| ReadError::Event { number, source };
            // What else is in it is for people.
            let exact: ExportedEvent =
                serde_json::from_value(line.remove("exact").ok_or(ReadError::Inexact { number })?)?;
            let (run, event, time) = (exact.run().map_err(bad)?, exact.event().map_err(bad)?, exact.time());
            let history = history.get_or_insert_with(|| Self { run, records: Vec::new() });
            if history.run != run {
                return Err(ReadError::Runs { one: history.run, other: run });
            }
            match history.records.last_mut().filter(|_| last == Some(exact.record)) {
                Some((events, _)) => events.push(event),
                None => history.records.push((vec![event], time)),
            }
            last = Some(exact.record);
        }
        history.ok_or(ReadError::Empty)
    }

    /// The history as JSON, for [`from_json`](Self::from_json): to keep it in a file, for a test that replays it.
    pub fn to_json(&self) -> String {
        let lines = (1..).zip(&self.records).flat_map(|(record, (events, time))| {
            events.iter().map(move |event| {
                let exact = ExportedEvent::new(self.run, record, *time, event);
                serde_json::json!({ "text": event.to_string(), "exact": exact })
            })
        });
        format!("{:#}", serde_json::Value::Array(lines.collect()))
    }

    pub(crate) fn of_events(events: Vec<HistoryEvent>) -> Option<Self> {
        let mut history = Self { run: events.first()?.run, records: Vec::new() };
        let mut last = None;
        for HistoryEvent { record, time, event, .. } in events {
            match history.records.last_mut().filter(|_| last == Some(record)) {
                Some((events, _)) => events.push(event),
                None => history.records.push((vec![event], time)),
            }
            last = Some(record);
        }
        Some(history)
    }
}

/// One line an event: its number, the time since the beginning, and what it says.
impl fmt::Display for History {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let named = |name: Option<&dyn fmt::Display>| name.map_or("?".to_owned(), ToString::to_string);
        let id = named(self.workflow_id().map(|id| id as _));
        let workflow_type = named(self.workflow_type().map(|name| name as _));
        write!(f, "history of {workflow_type} {id:?}, run {}:", self.run)?;
        let began = self.records.first().map_or(Timestamp::ZERO, |(_, time)| *time);
        for (number, (event, time)) in (1..).zip(self.events()) {
            write!(f, "\n{number:>5}  {:>12}  {event}", format!("+{}", Elapsed(time.since(began))))?;
        }
        Ok(())
    }
}

/// A time span in the units that matter.
pub(crate) struct Elapsed(pub(crate) std::time::Duration);

impl fmt::Display for Elapsed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let seconds = self.0.as_secs();
        match (seconds / 86_400, seconds / 3_600 % 24, seconds / 60 % 60) {
            (0, 0, 0) => write!(f, "{:.3}s", self.0.as_secs_f64()),
            (0, 0, minutes) => write!(f, "{minutes}m{:02}s", seconds % 60),
            (0, hours, minutes) => write!(f, "{hours}h{minutes:02}m"),
            (days, hours, _) => write!(f, "{days}d{hours:02}h"),
        }
    }
}
