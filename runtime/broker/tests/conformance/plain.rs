//! Messages outside of any stream.

use std::time::Duration;

use futures_util::StreamExt;
use highwater_broker::{ErrorKind, PlainMessage};
use highwater_protocol::Headers;
use tokio::time::Instant;

use crate::{World, key, within};

fn plain(subject: impl Into<String>, payload: &'static str) -> PlainMessage {
    PlainMessage { subject: subject.into(), reply: None, headers: Headers::new(), payload: payload.into() }
}

pub(crate) async fn a_question_gets_its_answer(world: World) {
    let subject = world.one.subjects().closed(&key("a"));
    let filter = subject.replace(".a", ".*");
    let mut questions = world.two.subscribe(filter).await.unwrap();
    let two = world.two.clone();
    let answering = tokio::spawn(async move {
        let question = within(questions.next()).await.unwrap();
        let answer = PlainMessage { headers: question.headers, ..plain(question.reply.unwrap(), "42") };
        two.send(answer).await.unwrap();
    });
    let headers = Headers::new().with("Hw-Kind", "query");
    let question = PlainMessage { headers: headers.clone(), ..plain(subject, "?") };
    let answer = world.one.request(question, Duration::from_secs(20)).await.unwrap();
    assert_eq!((&answer.payload[..], answer.headers), (&b"42"[..], headers));
    within(answering).await.unwrap();
}

pub(crate) async fn a_question_that_nobody_listens_to_fails_at_once(world: World) {
    let start = Instant::now();
    let question = plain(world.one.subjects().closed(&key("a")), "?");
    let error = world.one.request(question, Duration::from_secs(20)).await.unwrap_err();
    assert_eq!(error.kind, ErrorKind::NoResponders);
    assert!(start.elapsed() < Duration::from_secs(2), "{:?}", start.elapsed());
}

pub(crate) async fn a_question_without_an_answer_ends_with_the_wait(world: World) {
    let subject = world.one.subjects().closed(&key("a"));
    let _silent = world.two.subscribe(subject.clone()).await.unwrap();
    let error = world.one.request(plain(subject, "?"), Duration::from_millis(200)).await.unwrap_err();
    assert_eq!(error.kind, ErrorKind::Unavailable);
}

pub(crate) async fn a_subscriber_hears_everything_sent_after_it_was_made(world: World) {
    for round in 0..50 {
        let subject = world.one.subjects().closed(&key(&format!("id-{round}")));
        let mut heard = world.two.subscribe(subject.clone()).await.unwrap();
        world.one.send(plain(subject.clone(), "1")).await.unwrap();
        world.one.send(plain(subject, "2")).await.unwrap();
        for body in ["1", "2"] {
            assert_eq!(within(heard.next()).await.unwrap().payload, body);
        }
    }
    world.one.flush().await.unwrap();
}

pub(crate) async fn inboxes_are_different(world: World) {
    let inbox = world.one.new_inbox();
    assert_ne!(inbox, world.one.new_inbox());
    let mut heard = world.one.subscribe(inbox.clone()).await.unwrap();
    world.two.send(plain(inbox.clone(), "x")).await.unwrap();
    assert_eq!(within(heard.next()).await.unwrap().subject, inbox);
}

pub(crate) async fn who_has_stopped_listening_is_nobody(world: World) {
    let subject = world.one.subjects().closed(&key("a"));
    for filter in [subject.clone(), subject.replace(".a", ".*")] {
        drop(world.one.subscribe(filter).await.unwrap());
    }
    world.one.flush().await.unwrap();
    let error = world.one.request(plain(subject, "?"), Duration::from_secs(20)).await.unwrap_err();
    assert_eq!(error.kind, ErrorKind::NoResponders);
}

pub(crate) async fn everybody_who_listens_hears_it(world: World) {
    let subject = world.one.subjects().closed(&key("a"));
    let all = subject.trim_end_matches("0.a").to_owned() + ">";
    let mut listeners = Vec::new();
    for filter in [&subject, &subject.replace(".a", ".*"), &all] {
        listeners.push(world.two.subscribe(filter.clone()).await.unwrap());
    }
    let mut deaf = world.two.subscribe(format!("{subject}.*")).await.unwrap();
    world.one.send(plain(subject.clone(), "x")).await.unwrap();
    for listener in &mut listeners {
        assert_eq!(within(listener.next()).await.unwrap().payload, "x");
    }
    world.one.send(plain(format!("{subject}.more"), "y")).await.unwrap();
    assert_eq!(within(deaf.next()).await.unwrap().payload, "y");
}
