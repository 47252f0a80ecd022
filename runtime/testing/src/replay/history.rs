//! The history of a run, as it is replayed.

use std::fmt;

use highwater_broker::{Message, history::StoredRecord};
use highwater_protocol::{Event, RunId, Timestamp, TypeName, WorkflowId};

/// What happened to one run, record by record.
#[derive(Clone, Debug, PartialEq)]
pub struct History {
    /// The run.
    pub run: RunId,
    /// Its records in order: the events of each, and the workflow's time in it.
    pub records: Vec<(Vec<Event>, Timestamp)>,
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
        self.events().last().is_some_and(|(event, _)| event.class() == highwater_protocol::event::Class::Closing)
    }

    fn started(&self) -> Option<&highwater_protocol::Started> {
        match self.events().next() {
            Some((Event::Started(started), _)) => Some(started),
            _ => None,
        }
    }

    /// The histories that the messages of a history stream hold, in the order in which their runs began.
    pub(crate) fn of_messages(messages: Vec<Message>) -> Vec<Self> {
        let mut histories: Vec<Self> = Vec::new();
        for message in messages {
            // The engine of the same build wrote them.
            let Ok(record) = StoredRecord::from_message(message) else { continue };
            let Ok(body) = record.body() else { continue };
            let (run, time) = (record.frame.run, record.frame.time);
            match histories.iter_mut().rfind(|history| history.run == run) {
                Some(history) => history.records.push((body.events, time)),
                None => histories.push(Self { run, records: vec![(body.events, time)] }),
            }
        }
        histories
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
