//! Messages that are stored twice, as whoever sent them does not know that they were.

use highwater_protocol::{
    Failure, FailureKind, Payloads, UpdateId,
    event::{ExternalRequest, ExternalScheduled, Origin, Outcome, Sender, Signal, Target, Update},
    reply::Reply,
    request::{ExternalReport, RunCancel, StartRequest},
    subject::EngineVerb,
};

use super::*;

fn origin() -> Origin {
    Origin { workflow_id: WorkflowId::new("sender").unwrap(), run: RunId::generate(), queue: queue(SHOP), op: OpId(3) }
}

fn update(reply: &str) -> Update {
    Update {
        id: UpdateId::new("u").unwrap(),
        name: TypeName::new("add").unwrap(),
        input: Payload::null(),
        headers: Payloads::default(),
        reply: Some(reply.to_owned()),
    }
}

impl Fixture {
    fn request(&mut self, subject: String, headers: Headers, payload: bytes::Bytes, seq: u64) -> Vec<Action> {
        self.feed(Input::Request { message: Message { subject, headers, payload, seq, time: Timestamp(seq as i64) } })
    }

    /// Another run asks for whatever run there is to cancel itself.
    fn cancel(&mut self, seq: u64, origin: &Origin) -> Vec<Action> {
        let cancel = RunCancel { origin: Some(origin.clone()), run: None, reason: String::new() };
        let subject = self.subjects.inbox_engine(EngineVerb::Cancel, &queue(SHOP), origin.run, &self.key);
        self.request(subject, Headers::new(), wire::encode(&cancel), seq)
    }

    fn update_from(&mut self, seq: u64, reply: &str) -> Vec<Action> {
        let update = update(reply);
        let subject = self.subjects.inbox_public(Verb::Update, &queue(SHOP), Some(&update.name), &self.key);
        let headers = Headers::new().with(header::REPLY, reply).with(header::UPDATE_ID, update.id.to_key().to_string());
        self.request(subject, headers, update.input.data, seq)
    }
}

/// Who is told what.
fn told(actions: &[Action]) -> Vec<(&str, &'static str)> {
    let replies = actions.iter().filter_map(|action| match action {
        Action::Reply { subject, reply } => Some((subject.as_str(), reply)),
        _ => None,
    });
    let kind = |reply: &Reply| match reply {
        Reply::Accepted { .. } => "accepted",
        Reply::Rejected(_) => "rejected",
        Reply::Updated(_) => "updated",
        Reply::Closed(_) => "closed",
    };
    replies.map(|(subject, reply)| (subject, kind(reply))).collect()
}

#[test]
fn a_request_to_cancel_that_the_run_before_has_taken_does_not_cancel_the_one_that_follows_it() {
    let mut fixture = Fixture::new();
    let origin = origin();
    let actions = fixture.cancel(13, &origin);
    let taken = vec![Sender { run: origin.run, op: origin.op }];
    let loaded = fixture.history_of(|started| started.taken_cancels = taken, Vec::new(), (12, 6));
    let actions = fixture.load(&actions, loaded);
    assert!(given(&actions).is_empty(), "{actions:?}");
    // Its sender hears again that it was taken, as soon as a record says that it is read.
    let actions = fixture.appended(Ok(Appended::Stored(2)));
    let answers = actions.iter().filter(|action| matches!(action, Action::Send { .. })).count();
    assert_eq!(answers, 1, "{actions:?}");
}

#[test]
fn all_that_sent_an_update_are_told_its_outcome() {
    let mut fixture = Fixture::new();
    let actions = fixture.update_from(13, "_INBOX.b");
    let accepted = Event::UpdateAccepted(Box::new(update("_INBOX.a")));
    let sleeps = Event::TimerStarted { op: OpId(1), fire_at: Timestamp(200) };
    let loaded = fixture.history_of(|_| (), vec![sleeps, accepted], (12, 6));
    fixture.load(&actions, loaded);
    let actions = fixture.appended(Ok(Appended::Stored(2)));
    assert_eq!(told(&actions), [("_INBOX.b", "accepted")]);
    let actions = fixture.fire(7, 1);
    assert_eq!(given(&actions), ["TimerFired"], "{actions:?}");
    let generation = generation_of_job(&actions);
    let closed = Event::UpdateClosed { id: UpdateId::new("u").unwrap(), outcome: Outcome::Completed(Payload::null()) };
    let events = vec![Event::TimerFired { op: OpId(1) }, closed];
    fixture.code_says(generation, Transition { events, ..Transition::default() });
    let actions = fixture.appended(Ok(Appended::Stored(3)));
    assert_eq!(told(&actions), [("_INBOX.a", "updated"), ("_INBOX.b", "updated")]);
}

#[test]
fn who_starts_a_run_with_an_update_is_told_again_that_it_was_refused() {
    let mut fixture = Fixture::new();
    let start = StartRequest {
        run: Some(fixture.run),
        update: Some(Box::new(update("_INBOX.a"))),
        ..StartRequest::new(TypeName::new("account").unwrap(), Payload::null())
    };
    let subject = fixture.subjects.inbox_public(Verb::Start, &queue(SHOP), Some(&start.workflow_type), &fixture.key);
    let (headers, payload) = start.message(Some("_INBOX.a"));
    let actions = fixture.fire(7, 1);
    fixture.request(subject, headers, payload.data, 12);
    let loaded = fixture.history(12, 6);
    let actions = fixture.load(&actions, loaded);
    let actions = fixture.code_asks_for_nothing(generation_of_job(&actions));
    assert_eq!(told(&actions), [("_INBOX.a", "accepted"), ("_INBOX.a", "rejected")]);
}

#[test]
fn a_message_that_was_answered_is_not_said_to_be_undelivered() {
    let mut fixture = Fixture::new();
    let target = Target { workflow_id: WorkflowId::new("other").unwrap(), queue: queue(SHOP), run: None };
    let to = target.workflow_id.to_key();
    let signal = ExternalRequest::Signal(Signal::new(TypeName::new("go").unwrap(), Payload::null()));
    let sent = Event::ExternalScheduled(Box::new(ExternalScheduled { op: OpId(2), target, request: signal }));
    let report = ExternalReport { op: OpId(2), failure: None };
    let subject = fixture.subjects.inbox_engine(EngineVerb::External, &queue(SHOP), fixture.run, &fixture.key);
    let actions = fixture.request(subject, Headers::new(), wire::encode(&report), 13);
    let loaded = fixture.history_of(|_| (), vec![sent], (12, 6));
    let actions = fixture.load(&actions, loaded);
    assert_eq!(given(&actions), ["ExternalAccepted"]);
    let generation = generation_of_job(&actions);
    let accepted = Event::ExternalClosed { op: OpId(2), failure: None };
    fixture.code_says(generation, Transition { events: vec![accepted], ..Transition::default() });
    fixture.appended(Ok(Appended::Stored(2)));
    // The one that was sent again is refused by the server now.
    let failure = Failure::new(FailureKind::Refused, "no");
    let undelivered = Some(Event::ExternalClosed { op: OpId(2), failure: Some(failure) });
    let sent = Sent::Posted { run: fixture.run, to, undelivered };
    let actions = fixture.feed(Input::Sent { key: fixture.key.clone(), generation, sent });
    assert!(given(&actions).is_empty(), "{actions:?}");
}
