//! Events outside of the broker: in files that people keep, to replay them against later code.

use serde::{Deserialize, Serialize};

use crate::{Event, RunId, Timestamp, wire};

/// An event with what a replay needs of it, exactly. It stands beside what people read of the event, in the JSON that
/// `highwater show -o json` prints.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ExportedEvent {
    /// The run.
    pub run: String,
    /// The sequence of the record that holds it. Events of one record were recorded at once.
    pub record: u64,
    /// The workflow's time in that record, in µs since the Unix epoch.
    pub time_us: i64,
    /// The event as it is stored, in hex.
    pub event: String,
}

/// An exported event cannot be taken back.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ImportError {
    /// The run is no run.
    #[error("{0:?} is not the id of a run")]
    Run(String),
    /// The event is not in hex.
    #[error("its event is not in hex")]
    Hex,
    /// The event is none that this build knows.
    #[error("its event {0}")]
    Event(#[from] wire::Error),
}

impl ExportedEvent {
    /// Exports an event.
    pub fn new(run: RunId, record: u64, time: Timestamp, event: &Event) -> Self {
        let digit = |half: u8| char::from_digit(half.into(), 16).expect("half a byte is one digit");
        let event = wire::encode(event).iter().flat_map(|byte| [digit(byte >> 4), digit(byte & 15)]).collect();
        Self { run: run.to_string(), record, time_us: time.as_micros(), event }
    }

    /// The run.
    pub fn run(&self) -> Result<RunId, ImportError> {
        self.run.parse().map_err(|_| ImportError::Run(self.run.clone()))
    }

    /// The workflow's time.
    pub fn time(&self) -> Timestamp {
        Timestamp(self.time_us)
    }

    /// The event, as it was.
    pub fn event(&self) -> Result<Event, ImportError> {
        let digit = |byte: &u8| char::from(*byte).to_digit(16).map(|digit| digit as u8);
        let bytes: Option<Vec<u8>> = self
            .event
            .as_bytes()
            .chunks(2)
            .map(|pair| match pair {
                [high, low] => Some(digit(high)? << 4 | digit(low)?),
                _ => None,
            })
            .collect();
        Ok(wire::decode(&bytes.ok_or(ImportError::Hex)?)?)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::OpId;

    fn exported() -> ExportedEvent {
        let event = Event::TimerStarted { op: OpId(3), fire_at: Timestamp(77) };
        ExportedEvent::new(RunId(uuid::Uuid::from_u128(1)), 5, Timestamp(1_234_567), &event)
    }

    #[test]
    fn an_event_comes_back_as_it_was() {
        let exported = exported();
        assert_eq!(exported.event().unwrap(), Event::TimerStarted { op: OpId(3), fire_at: Timestamp(77) });
        assert_eq!((exported.run().unwrap().0.as_u128(), exported.time()), (1, Timestamp(1_234_567)));
    }

    #[test]
    fn what_was_damaged_is_an_error() {
        for event in ["", "0", "zz", "c1"] {
            assert!(ExportedEvent { event: event.into(), ..exported() }.event().is_err(), "{event:?}");
        }
        assert!(ExportedEvent { run: "x".into(), ..exported() }.run().is_err());
    }
}
