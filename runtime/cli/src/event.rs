//! Events, for programs and for people.

use std::collections::HashMap;

use highwater_client::HistoryEvent;
use highwater_protocol::{Event, OpId, Payload, Timestamp, TypeName, event::Outcome, export::ExportedEvent};
use serde_json::{Value, json};

use crate::output::{clean, cut, payload_text};

mod details;

use details::details;
pub(crate) use details::{failure_value, payloads_value};

/// The width of the column with the names of events.
const NAME_WIDTH: usize = 24;

/// An event as JSON: its number, record, time and name, and what it says.
pub(crate) fn value(event: &HistoryEvent) -> Value {
    let mut value = details(&event.event);
    let fields = value.as_object_mut().expect("details are an object");
    fields.insert("number".into(), json!(event.number));
    fields.insert("record".into(), json!(event.record));
    fields.insert("time".into(), json!(event.time.to_rfc3339()));
    fields.insert("event".into(), json!(event.event.name()));
    // What a replay needs of it, which is more than people read.
    fields.insert("exact".into(), json!(ExportedEvent::new(event.run, event.record, event.time, &event.event)));
    value
}

/// A history in lines, one an event, cut to a width unless there is none.
pub(crate) fn lines(events: &[HistoryEvent], width: Option<usize>) -> String {
    let began = events.first().map_or(Timestamp::ZERO, |first| first.time);
    let digits = events.last().map_or(1, |last| last.number.to_string().len());
    let mut called: HashMap<OpId, &TypeName> = HashMap::new();
    let lines = events.iter().map(|event| {
        if let Event::ActivityScheduled(call) = &event.event {
            called.insert(call.op, &call.name);
        }
        let passed = relative(event.time, began);
        let text = clean(&event.event.to_string());
        let (name, mut detail) = text
            .split_once([' ', ':'])
            .map_or((text.as_str(), String::new()), |(name, detail)| (name, detail.trim_start().to_owned()));
        if let Some(activity) = activity_of(&event.event).and_then(|op| called.get(&op)) {
            detail = format!("{detail} of {}", clean(activity.as_str()));
        }
        let payload = payload_of(&event.event).map(payload_text).unwrap_or_default();
        let line = format!("{:>digits$}  {passed:>10}  {name:<NAME_WIDTH$}  {detail}  {payload}", event.number);
        let line = line.trim_end();
        width.map_or_else(|| line.to_owned(), |width| cut(line, width))
    });
    lines.collect::<Vec<_>>().join("\n")
}

/// The activity that an event is about without naming it.
fn activity_of(event: &Event) -> Option<OpId> {
    match event {
        Event::ActivityClosed { op, .. } | Event::ActivityCancelRequested { op } => Some(*op),
        _ => None,
    }
}

fn payload_of(event: &Event) -> Option<&Payload> {
    match event {
        Event::Started(started) => Some(&started.input),
        Event::Signaled(signal) => Some(&signal.input),
        Event::ActivityScheduled(call) => Some(&call.input),
        Event::ChildScheduled(call) => Some(&call.input),
        Event::UpdateAccepted(update) => Some(&update.input),
        Event::Completed { result }
        | Event::ActivityClosed { outcome: Outcome::Completed(result), .. }
        | Event::ChildClosed { outcome: Outcome::Completed(result), .. }
        | Event::UpdateClosed { outcome: Outcome::Completed(result), .. }
        | Event::StepClosed { outcome: Outcome::Completed(result), .. } => Some(result),
        _ => None,
    }
}

/// Time since the beginning.
fn relative(time: Timestamp, began: Timestamp) -> String {
    let micros = time.since(began).as_micros();
    match micros {
        0..1_000_000 => format!("+{:.1} ms", micros as f64 / 1_000.0),
        1_000_000..60_000_000 => format!("+{:.2} s", micros as f64 / 1_000_000.0),
        _ => {
            let seconds = micros / 1_000_000;
            let (days, hours) = (seconds / 86_400, seconds / 3_600 % 24);
            match (days, hours) {
                (0, 0) => format!("+{}m{:02}s", seconds / 60, seconds % 60),
                (0, _) => format!("+{hours}h{:02}m", seconds / 60 % 60),
                _ => format!("+{days}d{hours:02}h"),
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use highwater_protocol::{Payloads, QueueName, RunId, event::ActivityOptions, event::ActivityScheduled};

    fn events(events: Vec<Event>) -> Vec<HistoryEvent> {
        let numbered = (1..).zip(events);
        numbered
            .map(|(n, event)| HistoryEvent {
                run: RunId::generate(),
                number: n,
                record: n,
                time: Timestamp(1_500_000 * (n as i64 - 1)),
                event,
            })
            .collect()
    }

    fn sample() -> Vec<HistoryEvent> {
        let call = ActivityScheduled {
            op: OpId(1),
            name: TypeName::new("charge").unwrap(),
            queue: QueueName::new("bank").unwrap(),
            input: Payload::json("{ \"amount\": 5 }"),
            options: ActivityOptions::default(),
            headers: Payloads::default(),
        };
        events(vec![
            Event::ActivityScheduled(Box::new(call)),
            Event::ActivityClosed { op: OpId(1), attempt: 2, outcome: Outcome::Completed(Payload::json("\"ok\"")) },
            Event::Terminated { reason: "no\u{1b}[2J".into() },
        ])
    }

    #[test]
    fn a_line_tells_number_time_name_details_and_payload() {
        let text = lines(&sample(), None);
        let lines: Vec<_> = text.lines().collect();
        assert_eq!(lines[0], "1     +0.0 ms  ActivityScheduled         #1 charge on queue bank  {\"amount\":5}");
        assert_eq!(lines[1], "2     +1.50 s  ActivityCompleted         #1 at attempt 2 of charge  \"ok\"");
        assert_eq!(lines[2], "3     +3.00 s  Terminated                no [2J");
        assert!(super::lines(&sample(), Some(30)).lines().all(|line| line.chars().count() <= 30));
    }

    #[test]
    fn json_says_the_same() {
        let value = value(&sample()[1]);
        assert_eq!(value["event"], "ActivityCompleted");
        assert_eq!((&value["number"], &value["op"], &value["attempt"]), (&json!(2), &json!(1), &json!(2)));
        assert_eq!(value["result"], "ok");
    }

    #[test]
    fn long_times_are_short() {
        let at = |seconds: i64| relative(Timestamp(seconds * 1_000_000), Timestamp::ZERO);
        assert_eq!([at(61), at(3_660), at(90_000)], ["+1m01s", "+1h01m", "+1d01h"]);
    }
}
