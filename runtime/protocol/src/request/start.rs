//! Requests to start a run.

use std::{str::FromStr, time::Duration};

use serde::{Deserialize, Serialize};

use super::{context, millis, parsed, trace};
use crate::{
    event::{Attributes, Signal, Started, Trace, Update},
    header::{self, Headers},
    ids::{QueueName, RunId, TypeName, WorkflowId},
    payload::{Payload, Payloads},
    rejection::{Code, Rejection},
    retry::RetryPolicy,
    time::Timestamp,
    wire,
};

/// The content type of a start whose body is more than the input: MessagePack of what [`StartRequest::message`] adds.
pub const START_ENVELOPE: &str = "application/vnd.highwater.start";

/// A request to start a run.
#[derive(Clone, Debug, PartialEq)]
pub struct StartRequest {
    /// The workflow type.
    pub workflow_type: TypeName,
    /// The input.
    pub input: Payload,
    /// The run id that the starter proposes; the owner makes one when absent.
    pub run: Option<RunId>,
    /// The sequence that the history subject must have; the owner looks it up when absent.
    pub expect: Option<u64>,
    /// May a closed run's id be used again?
    pub id_reuse: IdReuse,
    /// What if the id is running?
    pub id_conflict: IdConflict,
    /// How long the run may take.
    pub run_timeout: Option<Duration>,
    /// How long all runs of the chain may take.
    pub execution_timeout: Option<Duration>,
    /// How long the code waits before it begins.
    pub delay: Option<Duration>,
    /// How a failed run is tried again.
    pub retry: Option<RetryPolicy>,
    /// Signals that come with the start: they are for the run there is, when the conflict policy uses that.
    pub signals: Vec<Signal>,
    /// An update that comes with the start, likewise.
    pub update: Option<Box<Update>>,
    /// Notes, readable from outside and by the code.
    pub memo: Payloads,
    /// What the run can be found by.
    pub attributes: Attributes,
    /// Context that goes with the run into its activities and children.
    pub headers: Payloads,
    /// The starter's trace.
    pub trace: Option<Trace>,
}

macro_rules! policy {
    ($(#[$doc:meta])* $name:ident { $($(#[$vdoc:meta])* $variant:ident = $word:literal),+ $(,)? }) => {
        $(#[$doc])*
        #[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
        #[serde(rename_all = "kebab-case")]
        #[non_exhaustive]
        pub enum $name { $($(#[$vdoc])* $variant),+ }

        impl $name {
            /// The word in the header.
            pub fn as_str(self) -> &'static str {
                match self { $(Self::$variant => $word),+ }
            }
        }

        impl FromStr for $name {
            type Err = ();
            fn from_str(word: &str) -> Result<Self, ()> {
                match word { $($word => Ok(Self::$variant),)+ _ => Err(()) }
            }
        }
    };
}

policy!(
    /// Whether an id whose run is closed may be used for another run.
    IdReuse {
        /// No: an id is used once. A message published twice cannot start the work twice.
        #[default]
        Reject = "reject",
        /// Yes.
        Allow = "allow",
        /// Yes, unless the closed run completed.
        AllowIfFailed = "allow-if-failed",
    }
);

policy!(
    /// What a start does when the id has a run that goes on.
    IdConflict {
        /// It is refused.
        #[default]
        Fail = "fail",
        /// It is answered with the run there is.
        UseExisting = "use-existing",
        /// It ends that run and starts its own.
        TerminateExisting = "terminate-existing",
    }
);

/// What a start carries that has no place in headers.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
struct Envelope {
    input: Option<Payload>,
    #[serde(skip_serializing_if = "Option::is_none")]
    retry: Option<RetryPolicy>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    signals: Vec<Signal>,
    #[serde(skip_serializing_if = "Option::is_none")]
    update: Option<Box<Update>>,
    #[serde(skip_serializing_if = "Payloads::is_empty")]
    memo: Payloads,
    #[serde(skip_serializing_if = "Attributes::is_empty")]
    attributes: Attributes,
    #[serde(skip_serializing_if = "Payloads::is_empty")]
    headers: Payloads,
}

impl StartRequest {
    /// A start of a run about which nothing is said but what it must have.
    pub fn new(workflow_type: TypeName, input: Payload) -> Self {
        Self {
            workflow_type,
            input,
            run: None,
            expect: None,
            id_reuse: IdReuse::default(),
            id_conflict: IdConflict::default(),
            run_timeout: None,
            execution_timeout: None,
            delay: None,
            retry: None,
            signals: Vec::new(),
            update: None,
            memo: Payloads::default(),
            attributes: Attributes::default(),
            headers: Payloads::default(),
            trace: None,
        }
    }

    /// The start as a message: headers and body. The body is the input itself unless there is more to say than fits
    /// headers.
    pub fn message(&self, reply: Option<&str>) -> (Headers, Payload) {
        let body = self.body();
        let millis = |timeout: Option<Duration>| timeout.map(|timeout| timeout.as_millis().to_string());
        let headers = Headers::new()
            .with_opt(header::CONTENT_TYPE, body.content_type.as_deref())
            .with_opt(header::RUN, self.run.map(|run| run.to_string()))
            .with_opt(header::EXPECT, self.expect.map(|seq| seq.to_string()))
            .with_opt(header::ID_REUSE, (self.id_reuse != IdReuse::default()).then(|| self.id_reuse.as_str()))
            .with_opt(
                header::ID_CONFLICT,
                (self.id_conflict != IdConflict::default()).then(|| self.id_conflict.as_str()),
            )
            .with_opt(header::RUN_TIMEOUT, millis(self.run_timeout))
            .with_opt(header::EXECUTION_TIMEOUT, millis(self.execution_timeout))
            .with_opt(header::START_DELAY, millis(self.delay))
            .with_opt(header::REPLY, reply);
        let headers = match &self.trace {
            Some(trace) => headers
                .with(header::TRACEPARENT, trace.parent.clone())
                .with_opt(header::TRACESTATE, trace.state.clone()),
            None => headers,
        };
        (headers, body)
    }

    /// The first event of the run that this asks for, when the request was stored at `time`. An owner and a client that
    /// stands in for one make the same.
    pub fn started(&self, workflow_id: WorkflowId, queue: QueueName, run: RunId, time: Timestamp) -> Started {
        Started {
            run_timeout: self.run_timeout,
            // A run that nobody traces gets a trace that every worker finds again.
            trace: Some(self.trace.clone().unwrap_or_else(|| Trace::of_run(run))),
            signals: self.signals.clone(),
            deadline: self.execution_timeout.map(|timeout| time.after(timeout)),
            delay_until: self.delay.map(|delay| time.after(delay)),
            retry: self.retry.clone(),
            memo: self.memo.clone(),
            attributes: self.attributes.clone(),
            headers: self.headers.clone(),
            ..Started::new(workflow_id, self.workflow_type.clone(), queue, self.input.clone())
        }
    }

    fn body(&self) -> Payload {
        let plain = self.retry.is_none()
            && self.signals.is_empty()
            && self.update.is_none()
            && self.memo.is_empty()
            && self.attributes.is_empty()
            && self.headers.is_empty();
        if plain {
            return self.input.clone();
        }
        let envelope = Envelope {
            input: Some(self.input.clone()),
            retry: self.retry.clone(),
            signals: self.signals.clone(),
            update: self.update.clone(),
            memo: self.memo.clone(),
            attributes: self.attributes.clone(),
            headers: self.headers.clone(),
        };
        Payload::with_content_type(wire::encode(&envelope), Some(START_ENVELOPE))
    }
}

/// Reads a start.
pub(super) fn parse(
    workflow_type: TypeName,
    run: Option<RunId>,
    body: Payload,
    headers: &Headers,
    reply: Option<&str>,
) -> Result<StartRequest, Rejection> {
    let bad_body = |text: String| Rejection::new(Code::BadBody, text);
    let envelope = if body.content_type.as_deref() == Some(START_ENVELOPE) {
        let envelope: Envelope = wire::decode(&body.data).map_err(|e| bad_body(format!("the start {e}")))?;
        envelope.attributes.check().map_err(|e| bad_body(e.to_string()))?;
        envelope
    } else {
        Envelope { input: Some(body), headers: context(headers)?, ..Envelope::default() }
    };
    // Where the outcome goes is said once, and checked, for the whole message.
    let update = envelope.update.map(|update| Box::new(Update { reply: reply.map(ToOwned::to_owned), ..*update }));
    Ok(StartRequest {
        workflow_type,
        input: envelope.input.unwrap_or_else(Payload::null),
        run,
        expect: parsed(headers, header::EXPECT, "a sequence", |text| text.parse().ok())?,
        id_reuse: parsed(headers, header::ID_REUSE, "a reuse policy", |text| text.parse().ok())?.unwrap_or_default(),
        id_conflict: parsed(headers, header::ID_CONFLICT, "a conflict policy", |text| text.parse().ok())?
            .unwrap_or_default(),
        run_timeout: millis(headers, header::RUN_TIMEOUT)?,
        execution_timeout: millis(headers, header::EXECUTION_TIMEOUT)?,
        delay: millis(headers, header::START_DELAY)?,
        retry: envelope.retry,
        signals: envelope.signals,
        update,
        memo: envelope.memo,
        attributes: envelope.attributes,
        headers: envelope.headers,
        trace: trace(headers),
    })
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;

    use super::*;
    use crate::{
        ids::{Namespace, UpdateId},
        request::{Ask, parse},
        subject::Subjects,
    };

    fn round_trip(start: &StartRequest) -> Ask {
        let (headers, body) = start.message(Some("_INBOX.a.1"));
        let subjects = Subjects::new(&Namespace::default(), 1);
        let request = parse(&subjects, "hw.default.in.0.0.q.start.ship.k", &headers, Bytes::from(body.data.to_vec()));
        let request = request.unwrap();
        assert_eq!(request.reply.as_deref(), Some("_INBOX.a.1"));
        request.ask
    }

    fn start() -> StartRequest {
        StartRequest {
            run: Some(RunId::generate()),
            expect: Some(7),
            id_reuse: IdReuse::AllowIfFailed,
            id_conflict: IdConflict::TerminateExisting,
            run_timeout: Some(Duration::from_millis(1500)),
            execution_timeout: Some(Duration::from_secs(9)),
            delay: Some(Duration::from_secs(2)),
            trace: Some(Trace::of_run(RunId::generate())),
            ..StartRequest::new(TypeName::new("ship").unwrap(), Payload::json("1"))
        }
    }

    #[test]
    fn the_headers_of_a_start_come_back() {
        let start = start();
        assert_eq!(round_trip(&start), Ask::Start(Box::new(start)));
    }

    #[test]
    fn what_headers_cannot_hold_comes_back_too() {
        let mut memo = Payloads::new();
        memo.insert("note", Payload::json("{}"));
        let update = Update {
            id: UpdateId::new("u 1").unwrap(),
            name: TypeName::new("add").unwrap(),
            input: Payload::json("2"),
            headers: Payloads::default(),
            reply: Some("_INBOX.a.1".into()),
        };
        let start = StartRequest {
            signals: vec![Signal::new(TypeName::new("go").unwrap(), Payload::null())],
            update: Some(Box::new(update)),
            retry: Some(RetryPolicy::default()),
            attributes: Attributes::default().with("customer", "Zoë"),
            headers: memo.clone(),
            memo,
            ..start()
        };
        assert_eq!(round_trip(&start), Ask::Start(Box::new(start)));
    }
}
