//! Answers that go out with the record that they tell of.

use highwater_protocol::{
    event::Update,
    reply::{Closed, Reply, Updated},
};

use super::*;
use crate::engine::Early;

/// Where the sender of a request waits for answers.
fn sender(seq: u64) -> String {
    format!("_INBOX.sender.{seq}")
}

/// A request with an update or a signal's name, whose sender takes early answers.
struct Asks<'a> {
    verb: Verb,
    name: &'a str,
    seq: u64,
    early: bool,
}

impl Fixture {
    fn ask(&mut self, Asks { verb, name, seq, early }: Asks<'_>) -> Vec<Action> {
        let name = TypeName::new(name).unwrap();
        let subject = self.subjects.inbox_public(verb, &queue(SHOP), Some(&name), &self.key);
        let headers = Headers::new()
            .with(header::REPLY, sender(seq))
            .with_opt(header::EARLY, early.then_some("1"))
            .with_opt(header::UPDATE_ID, (verb == Verb::Update).then_some("u-1"))
            .with_opt(header::RUN, (verb == Verb::Start).then(|| self.run.to_string()));
        let payload = "1".into();
        self.feed(Input::Request { message: Message { subject, headers, payload, seq, time: Timestamp(seq as i64) } })
    }

    /// Asks, and has the code do this about it. Returns the early answer that may go out with the record.
    fn ask_and_do(&mut self, asks: Asks<'_>, transition: Transition) -> Option<Early> {
        let actions = self.ask(asks);
        self.answer(&actions, transition)
    }

    fn answer(&mut self, actions: &[Action], transition: Transition) -> Option<Early> {
        let actions = self.code_says(generation_of_job(actions), transition);
        let early = actions.into_iter().find_map(|action| match action {
            Action::Append { early, .. } => Some(early),
            _ => None,
        });
        early.expect("a record is made").map(|early| *early)
    }

    /// The record is stored, and what its sender was told before may count. Returns what all but the first sender are
    /// told now.
    fn stored(&mut self, seq: u64, answered: bool) -> Vec<Reply> {
        let key = self.key.clone();
        let generation = self.engine.slots[&key].generation;
        let result = Ok(Appended::Stored(seq));
        let actions = self.feed(Input::Appended { key, generation, result, answered });
        let told = actions.into_iter().filter_map(|action| match action {
            Action::Reply { subject, reply } if subject != sender(1) => Some(reply),
            _ => None,
        });
        told.collect()
    }

    /// A run that waits for something.
    fn waits(&mut self) {
        let asks = Asks { verb: Verb::Start, name: "account", seq: 1, early: false };
        self.ask_and_do(asks, does([started(), sleeps()]));
        self.stored(1, false);
    }
}

fn started() -> Event {
    let (id, name) = (WorkflowId::new("acme").unwrap(), TypeName::new("account").unwrap());
    Event::Started(Box::new(Started::new(id, name, queue(SHOP), Payload::null())))
}

fn sleeps() -> Event {
    Event::TimerStarted { op: OpId(1), fire_at: Timestamp(200) }
}

fn does<const N: usize>(events: [Event; N]) -> Transition {
    Transition { events: events.into(), ..Transition::default() }
}

fn does_and_ends<const N: usize>(events: [Event; N]) -> Transition {
    Transition { conclusion: Some(Conclusion::Completed(Payload::json("5"))), ..does(events) }
}

fn update_accepted() -> Event {
    Event::UpdateAccepted(Box::new(Update {
        id: UpdateId::new("u-1").unwrap(),
        name: TypeName::new("rename").unwrap(),
        input: Payload::null(),
        headers: Payloads::default(),
        reply: None,
    }))
}

fn update_done() -> Event {
    let outcome = Outcome::Completed(Payload::json("6"));
    Event::UpdateClosed { id: UpdateId::new("u-1").unwrap(), outcome }
}

/// What each request is told whose code does this at once.
fn cases(run: RunId) -> Vec<(Verb, Transition, Reply)> {
    let signaled = || Event::Signaled(Signal::new(TypeName::new("rename").unwrap(), Payload::null()));
    let accepted = Reply::Accepted { run };
    let closed = Reply::Closed(Closed { run, status: Status::Completed, outcome: Ok(Payload::json("5")) });
    let updated = Reply::Updated(Updated { run, id: UpdateId::new("u-1").unwrap(), outcome: Ok(Payload::json("6")) });
    vec![
        (Verb::Start, does_and_ends([started()]), closed),
        (Verb::Start, does([started(), sleeps()]), accepted.clone()),
        (Verb::Signal, does([signaled()]), accepted.clone()),
        (Verb::Signal, does_and_ends([signaled()]), accepted.clone()),
        (Verb::Update, does([update_accepted()]), accepted),
        (Verb::Update, does([update_accepted(), update_done()]), updated.clone()),
        (Verb::Update, does_and_ends([update_accepted(), update_done()]), updated),
    ]
}

/// A run as a request of this kind finds it.
fn before(verb: Verb, run: RunId) -> Fixture {
    let mut fixture = Fixture::new();
    fixture.run = run;
    if verb != Verb::Start {
        fixture.waits();
    }
    fixture
}

fn asks(verb: Verb, early: bool) -> Asks<'static> {
    Asks { verb, name: if verb == Verb::Start { "account" } else { "rename" }, seq: 2, early }
}

#[test]
fn what_is_told_early_is_what_is_told_without_it_and_is_told_once() {
    for answered in [true, false] {
        let run = RunId::generate();
        for (verb, transition, reply) in cases(run) {
            let mut fixture = before(verb, run);
            let case = format!("{verb:?} {:?}", transition.events);
            let early = fixture.ask_and_do(asks(verb, true), transition).unwrap();
            assert_eq!((early.to.as_str(), &early.reply), (sender(2).as_str(), &reply), "{case}");
            let later = fixture.stored(2, answered);
            assert_eq!(later, if answered { vec![] } else { vec![reply] }, "{case}");
        }
    }
}

#[test]
fn nobody_is_told_early_who_did_not_ask_for_it() {
    let run = RunId::generate();
    for (verb, transition, _) in cases(run) {
        assert!(before(verb, run).ask_and_do(asks(verb, false), transition).is_none(), "{verb:?}");
    }
}

#[test]
fn while_much_is_under_way_an_answer_waits_for_its_record() {
    let run = RunId::generate();
    for (verb, transition, reply) in cases(run) {
        let mut fixture = before(verb, run);
        fixture.engine.answer_early(false);
        assert!(fixture.ask_and_do(asks(verb, true), transition).is_none(), "{verb:?}");
        assert_eq!(fixture.stored(2, false), [reply], "{verb:?}");
    }
}

#[test]
fn an_update_that_the_code_refuses_or_that_the_run_ends_before_is_not_answered_early() {
    let run = RunId::generate();
    let mut fixture = before(Verb::Update, run);
    let actions = fixture.ask(asks(Verb::Update, true));
    let refused = vec![(UpdateId::new("u-1").unwrap(), Rejection::new(Code::Refused, "no"))];
    assert!(fixture.answer(&actions, Transition { refused, ..Transition::default() }).is_none());

    let mut fixture = before(Verb::Update, run);
    assert!(fixture.ask_and_do(asks(Verb::Update, true), does_and_ends([update_accepted()])).is_none());
    assert!(matches!(fixture.stored(2, false).as_slice(), [Reply::Updated(updated)] if updated.outcome.is_err()));
}

#[test]
fn an_end_that_another_run_follows_is_not_told_early() {
    let mut fixture = before(Verb::Start, RunId::generate());
    let actions = fixture.ask(asks(Verb::Start, true));
    let transition = Transition { conclusion: Some(continues()), ..does([started()]) };
    assert!(fixture.answer(&actions, transition).is_none());
}

#[test]
fn what_a_record_tells_two_senders_is_not_told_early() {
    let mut fixture = before(Verb::Signal, RunId::generate());
    // While the first is with the code, the next two wait and are given to it together.
    let first = fixture.ask(asks(Verb::Signal, true));
    for seq in [3, 4] {
        fixture.ask(Asks { seq, ..asks(Verb::Signal, true) });
    }
    let signaled = || Event::Signaled(Signal::new(TypeName::new("rename").unwrap(), Payload::null()));
    assert!(fixture.answer(&first, does([signaled()])).is_some());
    let both = fixture.appended(Ok(Appended::Stored(2)));
    assert_eq!(given(&both), ["Signaled", "Signaled"]);
    assert!(fixture.answer(&both, does([signaled(), signaled()])).is_none());
    assert_eq!(fixture.stored(3, false).len(), 2);
}
