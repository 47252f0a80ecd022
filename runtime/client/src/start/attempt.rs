//! One request to start, and what becomes of it.

use std::{sync::Arc, time::Duration};

use futures_util::FutureExt;
use highwater_broker::{
    Publish, Stream,
    history::{self, Appended, NewRecord, StoredRecord, Summary},
};
use highwater_core::open::OpenOperations;
use highwater_protocol::{
    Event, Key, Record, RunId, Started, Status, header,
    ids::RecordId,
    record::{Body, Frame, Mark, Marks},
    rejection::{Code, Rejection},
    request::{IdConflict, IdReuse, StartRequest},
    subject::Verb,
};
use tokio::time::{sleep, timeout};

use super::{Plan, StartError};
use crate::{
    client::Client,
    pace::{PATIENCE, looks, persist},
    replies::{Answers, Expected},
    request::{self, Stored, Unsent},
    run,
};

/// How long a worker has to answer a start that is in the inbox, before the client records the run itself.
const ANSWER_WAIT: Duration = Duration::from_secs(1);

/// How long the client tries to find out how the id of a start that is in the inbox stands, and then again to record the
/// run itself. A cluster may take more than ten seconds to choose another leader.
const STAND_IN_WAIT: Duration = Duration::from_secs(30);

const UNANSWERED: &str = "NATS did not answer in time";

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
    /// The run is on.
    Ours,
    /// Another run is on, and the policy is to use it.
    Existing(RunId),
    /// This request started nothing and never will.
    Refused(Option<Rejection>),
}

impl Attempt<'_> {
    pub(super) async fn send(&self) -> Result<(Sent, Stored), StartError> {
        let broker = self.client.broker();
        let id = || self.plan.id.clone();
        let answer = persist(PATIENCE, || self.client.replies().expect(broker))
            .await
            .map_err(|source| StartError::Broker { id: id(), source })?;
        let publish = self.publish(&answer);
        let mut seq = match request::submit(broker, publish.clone(), &answer).await {
            Ok(ack) => ack.map(|ack| ack.seq),
            Err(Unsent::Refused(source)) => return Err(StartError::Broker { id: id(), source }),
            Err(Unsent::Unknown(error)) => return Err(self.unknown(error.message)),
        };
        if seq.is_none() && self.plan.joins() && answer.first().await.rejected.is_some() {
            // Whether a run took it all the same depends on where it stands.
            seq = Some(request::sequence(broker, &publish).await.map_err(|error| self.unknown(error.message))?);
        }
        let stored = Stored { answers: Arc::new(answer), seq };
        let sent = match (timeout(ANSWER_WAIT, stored.answered()).await, seq) {
            (Ok(answers), _) => self.judge(answers, seq).await?,
            // Nobody but the code can say whether it takes an update.
            (Err(_), Some(seq)) if self.plan.request.update.is_some() => self.wait_for_owner(seq, &stored).await?,
            (Err(_), Some(seq)) => self.stand_in(seq, &stored).await?,
            (Err(_), None) => unreachable!("without an acknowledgement there is an answer"),
        };
        Ok((sent, stored))
    }

    fn publish(&self, answer: &Expected) -> Publish {
        let plan = self.plan;
        let (headers, body) = self.request().message(Some(answer.subject()));
        let subjects = self.client.broker().subjects();
        Publish {
            subject: subjects.public(Verb::Start, &plan.queue, Some(&plan.request.workflow_type), self.key),
            headers: headers.with_opt(header::EARLY, answer.early()),
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

    /// What the owner is told to do about a run that goes on. This client ends runs itself before it asks: an owner
    /// that did it would not hold the request to its sequence, and could apply it after the client was told that it
    /// lost.
    fn id_conflict(&self) -> IdConflict {
        match self.plan.request.id_conflict {
            IdConflict::TerminateExisting => IdConflict::Fail,
            other => other,
        }
    }

    async fn judge(&self, answers: Answers, seq: Option<u64>) -> Result<Sent, StartError> {
        let run = answers.accepted.or(answers.closed.map(|closed| closed.run));
        if let Some(run) = run.or(answers.updated.map(|updated| updated.run)) {
            return Ok(if run == self.run { Sent::Ours } else { Sent::Existing(run) });
        }
        match answers.rejected {
            // Two owners may have had the request, one after the other: what counts is the history.
            Some(rejection) if about_the_id(rejection.code) => match self.overtaken(seq).await? {
                Sent::Refused(_) => Ok(Sent::Refused(Some(rejection))),
                sent => Ok(sent),
            },
            // The update that the start brought is refused, and the start is not.
            Some(rejection) if self.plan.request.update.is_some() && about_the_update(rejection.code) => {
                self.overtaken(seq).await
            }
            Some(rejection) => Err(StartError::Rejected { id: self.plan.id.clone(), rejection }),
            None => unreachable!("an answer is one of these"),
        }
    }

    /// Nobody answers: records the run in the owner's place, unless one answers before that begins.
    async fn stand_in(&self, request_seq: u64, stored: &Stored) -> Result<Sent, StartError> {
        let looking = timeout(STAND_IN_WAIT, self.in_its_place(request_seq, stored.answers.subject()));
        let record = tokio::select! {
            biased;
            answers = stored.answered() => return self.judge(answers, stored.seq).await,
            record = looking => record.unwrap_or_else(|_| Err(self.unknown(UNANSWERED.into())))?,
        };
        if let Some(record) = record {
            let append = history::append(self.client.broker(), self.key, &record, self.expect);
            let failed = match timeout(STAND_IN_WAIT, append).await {
                Ok(Ok(Appended::Stored(_))) => return Ok(Sent::Ours),
                Ok(Ok(Appended::Lost)) => None,
                Ok(Err(error)) => Some(error.message),
                Err(_) => Some(UNANSWERED.into()),
            };
            if let Some(reason) = failed {
                // An owner that took the request says so. One that refused it cannot tell what becomes of the record.
                let answers = stored.answered().now_or_never().filter(|answers| answers.rejected.is_none());
                let answers = answers.ok_or_else(|| self.unknown(reason))?;
                return self.judge(answers, stored.seq).await;
            }
        }
        tokio::select! {
            biased;
            answers = stored.answered() => self.judge(answers, stored.seq).await,
            sent = self.overtaken(Some(request_seq)) => sent,
        }
    }

    /// The record that the owner would make, by what the leader says is the last one. `None`: somebody has dealt with the
    /// request, or was there before it.
    async fn in_its_place(&self, request_seq: u64, reply: &str) -> Result<Option<NewRecord>, StartError> {
        let broker = self.client.broker();
        let last = self.last().await?;
        let goes_on = last.as_ref().is_some_and(|last| !last.frame.closed);
        if goes_on || last.as_ref().map_or(0, |last| last.seq) != self.expect {
            return Ok(None);
        }
        let request = persist(STAND_IN_WAIT, || broker.get_from_leader(Stream::Inbox, request_seq));
        // It is gone once an owner has dealt with it, whose answer got lost then.
        let Some(request) = request.await.map_err(|error| self.unknown(error.message))? else { return Ok(None) };
        let mark = Mark { seq: request_seq, time: request.time };
        let remembered = persist(STAND_IN_WAIT, || run::remembered(broker, last.as_ref())).await;
        let remembered = remembered.map_err(|error| self.unknown(error.to_string()))?;
        let (record, summary) = self.record(mark, last.as_ref(), &remembered, reply);
        Ok(Some(NewRecord::new(&record, summary)))
    }

    /// Waits until an owner has dealt with the request, however long it takes for one to come.
    async fn wait_for_owner(&self, request_seq: u64, stored: &Stored) -> Result<Sent, StartError> {
        let mut pauses = looks(self.client.broker());
        loop {
            let look = async {
                sleep(pauses.next()).await;
                self.last().await
            };
            let last = tokio::select! {
                biased;
                answers = stored.answered() => return self.judge(answers, stored.seq).await,
                last = look => last?,
            };
            let ends_at = last.as_ref().map_or(0, |last| last.seq);
            let read = last.is_some_and(|last| last.frame.marks.inbox.seq >= request_seq || last.frame.closed);
            if read && ends_at != self.expect {
                return self.overtaken(Some(request_seq)).await;
            }
        }
    }

    /// The history moved on, or the request is gone: whether by this start, only the history says.
    async fn overtaken(&self, request_seq: Option<u64>) -> Result<Sent, StartError> {
        let Some(last) = self.last().await? else { return Ok(Sent::Refused(None)) };
        if last.seq > self.expect {
            let found = persist(STAND_IN_WAIT, || run::find(self.client.broker(), &last, self.run, self.expect)).await;
            if found.map_err(|error| self.unknown(error.to_string()))?.is_some() {
                return Ok(Sent::Ours);
            }
        }
        // A run that goes on when the request is read takes what it brings, and its mark passes it.
        let read = request_seq.is_some_and(|seq| last.frame.marks.inbox.seq >= seq);
        let joined = self.plan.joins() && (read || !last.frame.closed);
        Ok(if joined { Sent::Existing(last.frame.run) } else { Sent::Refused(None) })
    }

    /// The last record of the id. The request is out by now, so failing to look leaves open what becomes of it.
    async fn last(&self) -> Result<Option<StoredRecord>, StartError> {
        let last = persist(STAND_IN_WAIT, || run::last_of(self.client.broker(), self.key)).await;
        last.map_err(|error| self.unknown(error.to_string()))
    }

    /// The first record of the run, as its owner would write it before the code's first step.
    fn record(
        &self,
        request: Mark,
        last: Option<&StoredRecord>,
        remembered: &OpenOperations,
        reply: &str,
    ) -> (Record, Summary) {
        let plan = self.plan;
        let before = last.map(|last| last.frame.marks).unwrap_or_default();
        let floor = last.map(|last| last.frame.time).unwrap_or_default();
        let time = request.time.max(floor);
        let started = Started {
            reply: Some(reply.to_owned()),
            prior: last.map(|last| last.seq),
            taken: remembered.taken(),
            taken_cancels: remembered.taken_cancels(),
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

/// Rejections that concern the update that a start brings.
fn about_the_update(code: Code) -> bool {
    matches!(code, Code::Refused | Code::UnknownName | Code::BadArgument | Code::Blocked)
}
