//! One request to start, and what becomes of it.

use std::{sync::Arc, time::Duration};

use highwater_broker::{
    Publish, Stream,
    history::{self, Appended, HistoryError, StoredRecord, Summary},
};
use highwater_protocol::{
    Event, Key, Record, RunId, Started, Status,
    ids::RecordId,
    record::{Body, Frame, Mark, Marks},
    rejection::{Code, Rejection},
    request::{IdConflict, IdReuse, StartRequest},
    subject::Verb,
};
use tokio::time::timeout;

use super::{Plan, StartError};
use crate::{
    client::Client,
    pace::{PATIENCE, persist},
    replies::{Answers, Expected},
    request::{self, Unsent},
    run,
};

/// How long a worker has to answer a start that is in the inbox, before the client records the run itself.
const ANSWER_WAIT: Duration = Duration::from_secs(1);

/// How long the client tries to record a run itself.
const APPEND_WAIT: Duration = Duration::from_secs(30);

pub(super) struct Attempt<'a> {
    pub(super) client: &'a Client,
    pub(super) plan: &'a Plan,
    pub(super) key: &'a Key,
    /// Proposed for this attempt and for no other.
    pub(super) run: RunId,
    /// The sequence that the history must have.
    pub(super) expect: u64,
    pub(super) id_reuse: IdReuse,
}

/// What became of an attempt.
pub(super) enum Sent {
    /// The run is on. Its result comes to this reply subject.
    Ours(Arc<Expected>),
    /// Another run is on, and the policy is to use it.
    Existing(RunId),
    /// This request started nothing and never will.
    Refused(Option<Rejection>),
}

impl Attempt<'_> {
    pub(super) async fn send(&self) -> Result<Sent, StartError> {
        let broker = self.client.broker();
        let id = || self.plan.id.clone();
        let answer = persist(PATIENCE, || self.client.replies().expect(broker))
            .await
            .map_err(|source| StartError::Broker { id: id(), source })?;
        let answer = Arc::new(answer);
        let ack = match request::store(broker, self.publish(answer.subject()), &answer).await {
            Ok(ack) => ack,
            Err(Unsent::Refused(source)) => return Err(StartError::Broker { id: id(), source }),
            Err(Unsent::Unknown(error)) => return Err(self.unknown(error.message)),
        };
        let answered = answer.until(|answers| (!answers.is_empty()).then(|| answers.clone()));
        match (timeout(ANSWER_WAIT, answered).await, ack) {
            (Ok(answers), _) => self.judge(answers, answer).await,
            (Err(_), Some(ack)) => self.stand_in(ack.seq, answer).await,
            (Err(_), None) => unreachable!("without an acknowledgement there is an answer"),
        }
    }

    fn publish(&self, reply: &str) -> Publish {
        let plan = self.plan;
        let (headers, body) = self.request().message(Some(reply));
        let subjects = self.client.broker().subjects();
        Publish {
            subject: subjects.public(Verb::Start, &plan.queue, Some(&plan.request.workflow_type), self.key),
            headers,
            payload: body.data,
            id: Some(format!("{}:{}", self.key, self.run)),
            ..Publish::default()
        }
    }

    fn request(&self) -> StartRequest {
        StartRequest {
            run: Some(self.run),
            expect: Some(self.expect),
            id_reuse: self.id_reuse,
            id_conflict: self.id_conflict(),
            ..self.plan.request.clone()
        }
    }

    /// What the owner is told to do about a run that goes on. This client ends runs itself before it asks: an owner that
    /// did it would not hold the request to its sequence, and could apply it after the client was told that it lost.
    fn id_conflict(&self) -> IdConflict {
        match self.plan.request.id_conflict {
            IdConflict::TerminateExisting => IdConflict::Fail,
            other => other,
        }
    }

    async fn judge(&self, answers: Answers, answer: Arc<Expected>) -> Result<Sent, StartError> {
        if let Some(run) = answers.accepted.or(answers.closed.map(|closed| closed.run)) {
            return Ok(if run == self.run { Sent::Ours(answer) } else { Sent::Existing(run) });
        }
        match answers.rejected {
            // Two owners may have had the request, one after the other: what counts is the history.
            Some(rejection) if about_the_id(rejection.code) => match self.overtaken(answer).await? {
                Sent::Refused(_) => Ok(Sent::Refused(Some(rejection))),
                sent => Ok(sent),
            },
            Some(rejection) => Err(StartError::Rejected { id: self.plan.id.clone(), rejection }),
            None => unreachable!("an answer is one of the three"),
        }
    }

    /// Nobody answers: records the run in the owner's place, by what the leader says is the last record.
    async fn stand_in(&self, request_seq: u64, answer: Arc<Expected>) -> Result<Sent, StartError> {
        let broker = self.client.broker();
        // The request is in the inbox, and an owner may take it at any time. So failing to look leaves it open.
        let blind = |error: HistoryError| self.unknown(error.to_string());
        let last = persist(PATIENCE, || run::last_of(broker, self.key)).await.map_err(blind)?;
        if last.as_ref().map_or(0, |last| last.seq) != self.expect {
            return self.overtaken(answer).await;
        }
        let request = persist(PATIENCE, || broker.get_from_leader(Stream::Inbox, request_seq))
            .await
            .map_err(|error| self.unknown(error.message))?;
        let Some(request) = request else {
            // An owner has dealt with it meanwhile, and its answer got lost.
            return self.overtaken(answer).await;
        };
        let mark = Mark { seq: request_seq, time: request.time };
        let (record, summary) = self.record(mark, last.as_ref(), answer.subject());
        let headers = summary.headers(&record);
        let appended = timeout(APPEND_WAIT, history::append(broker, self.key, &record, headers, self.expect)).await;
        match appended {
            Ok(Ok(Appended::Stored(_))) => Ok(Sent::Ours(answer)),
            Ok(Ok(Appended::Lost)) => self.overtaken(answer).await,
            Ok(Err(error)) => Err(self.unknown(error.message)),
            Err(_) => Err(self.unknown("NATS did not answer in time".into())),
        }
    }

    /// The history moved on, or the request is gone: whether by this start, only the history says.
    async fn overtaken(&self, answer: Arc<Expected>) -> Result<Sent, StartError> {
        let broker = self.client.broker();
        let found = persist(PATIENCE, || async {
            match run::last_of(broker, self.key).await? {
                Some(last) if last.seq > self.expect => run::find(broker, &last, self.run, self.expect).await,
                _ => Ok(None),
            }
        });
        match found.await {
            Ok(Some(_)) => Ok(Sent::Ours(answer)),
            Ok(None) => Ok(Sent::Refused(None)),
            Err(error) => Err(self.unknown(error.to_string())),
        }
    }

    /// The first record of the run, as its owner would write it before the code's first step.
    fn record(&self, request: Mark, last: Option<&StoredRecord>, reply: &str) -> (Record, Summary) {
        let plan = self.plan;
        let before = last.map(|last| last.frame.marks).unwrap_or_default();
        let floor = last.map(|last| last.frame.time).unwrap_or_default();
        let time = request.time.max(floor);
        let started = Started {
            reply: Some(reply.to_owned()),
            prior: last.map(|last| last.seq),
            ..self.request().started(plan.id.clone(), plan.queue.clone(), self.run, request.time)
        };
        let (trace, attributes) = (started.trace.clone(), started.attributes.clone());
        let frame = Frame {
            run: self.run,
            record: RecordId::generate(),
            ordinal: 0,
            first_event: 1,
            time,
            marks: Marks { inbox: before.inbox.max(request), fires: before.fires },
            closed: false,
            back: Vec::new(),
        };
        let body = Body { events: vec![Event::Started(Box::new(started))], previous: None };
        let summary = Summary {
            workflow_type: plan.request.workflow_type.clone(),
            queue: plan.queue.clone(),
            status: Status::Running,
            started_at: time,
            attributes,
            trace,
        };
        (Record { frame, body }, summary)
    }

    fn unknown(&self, reason: String) -> StartError {
        StartError::OutcomeUnknown { id: self.plan.id.clone(), run: self.run, reason }
    }
}

/// Rejections that say how the id stands. The history says it in full.
fn about_the_id(code: Code) -> bool {
    matches!(code, Code::AlreadyRunning | Code::AlreadyUsed | Code::Conflict)
}
