//! Timers as the server holds them.

use std::time::Duration;

use base64::{Engine, engine::general_purpose::STANDARD};
use highwater::{Highwater, OpId, RunId, WorkflowId};
use highwater_broker::{Broker, PlainMessage};
use highwater_protocol::{Headers, timer::TimerId};
use serde::Deserialize;

/// The stream of the namespace `default`.
const STREAM: &str = "HW_default_TIMERS_0";
/// The header that says when a message is to be published.
const SCHEDULE: &str = "Nats-Schedule: ";

#[derive(Deserialize)]
struct Answer {
    message: Option<Stored>,
}

#[derive(Deserialize)]
struct Stored {
    hdrs: String,
}

/// The schedule that the server holds for a sleep, such as `@at 2030-01-01T00:00:00.000Z`; nothing when it holds none.
///
/// The server is asked by its own protocol: what the broker hands out has none of the server's headers.
pub async fn schedule_of(highwater: &Highwater, id: &WorkflowId, run: RunId, sleep: OpId) -> Option<String> {
    let broker = highwater.broker();
    let subject = broker.subjects().timer(&id.to_key(), run, TimerId::Sleep(sleep));
    let question = PlainMessage {
        subject: format!("$JS.API.STREAM.MSG.GET.{STREAM}"),
        reply: None,
        headers: Headers::new(),
        payload: format!(r#"{{"last_by_subj":"{subject}"}}"#).into_bytes().into(),
    };
    let answer = broker.request(question, Duration::from_secs(5)).await.ok()?;
    let stored = serde_json::from_slice::<Answer>(&answer.payload).ok()?.message?;
    let headers = String::from_utf8(STANDARD.decode(stored.hdrs).ok()?).ok()?;
    headers.lines().find_map(|line| line.strip_prefix(SCHEDULE)).map(ToOwned::to_owned)
}
