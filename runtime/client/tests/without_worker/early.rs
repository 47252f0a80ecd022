//! Answers that come before the record is stored that they tell of.

use futures_util::StreamExt;
use highwater_broker::{BoxStream, Broker, Error, PlainMessage, Stream};
use highwater_client::{Delivered, SignalError};
use highwater_protocol::{
    Headers, RunId, header,
    rejection::{Code, Rejection},
    reply::Reply,
};
use tokio::time::timeout;

use crate::support::{DEADLINE, Fixture};

const STORED: &str = r#"{"stream":"HW_test_HISTORY_0","seq":2}"#;
const REFUSED: &str = r#"{"error":{"code":400,"err_code":10071,"description":"wrong last sequence: 1"},"stream":"HW_test_HISTORY_0","seq":0}"#;

type Requests = BoxStream<Result<highwater_broker::Delivered, Error>>;

async fn requests(fixture: &Fixture) -> Requests {
    let everything = vec![fixture.broker.subjects().inbox_all()];
    fixture.broker.read(Stream::Inbox, everything, 1).await.unwrap()
}

/// Where the sender of the next request waits for answers, early ones too.
async fn next_sender(requests: &mut Requests) -> String {
    loop {
        if let highwater_broker::Delivered::Message(message) = requests.next().await.unwrap().unwrap() {
            assert_eq!(message.headers.get(header::EARLY), Some("1"));
            return message.headers.get(header::REPLY).unwrap().to_owned();
        }
    }
}

/// What an owner and the stream send about one request.
enum Sends {
    /// An answer that may turn out untrue.
    Early(Reply),
    /// What the stream says of the record.
    Ack(&'static str),
    Answer(Reply),
}

async fn send(fixture: &Fixture, to: &str, sends: Vec<Sends>) {
    let ack = fixture.broker.subjects().early_ack(to, "owner", 1).unwrap();
    for send in sends {
        let (subject, reply, (headers, payload)) = match send {
            Sends::Early(answer) => (to.to_owned(), Some(ack.clone()), answer.encode()),
            Sends::Answer(answer) => (to.to_owned(), None, answer.encode()),
            Sends::Ack(text) => (ack.clone(), None, (Headers::new(), highwater_protocol::Payload::json(text))),
        };
        fixture.broker.send(PlainMessage { subject, reply, headers, payload: payload.data }).await.unwrap();
    }
}

/// What becomes of a signal about which this is sent.
async fn signal(answers: impl FnOnce(RunId) -> Vec<Sends> + Send + 'static) -> Result<Delivered, SignalError> {
    let fixture = Fixture::new().await;
    let run = fixture.begin("o").await.frame.run;
    let handle = fixture.client.handle_by_name("o").unwrap();
    let mut requests = requests(&fixture).await;
    let owner = tokio::spawn(async move {
        let sender = timeout(DEADLINE, next_sender(&mut requests)).await.unwrap();
        send(&fixture, &sender, answers(run)).await;
    });
    let delivered = handle.signal("paid", "yes").await;
    timeout(DEADLINE, owner).await.unwrap().unwrap();
    delivered
}

#[tokio::test]
async fn an_early_answer_is_told_once_its_record_is_stored() {
    let accepted = |run| Sends::Early(Reply::Accepted { run });
    assert_eq!(signal(move |run| vec![accepted(run)]).await.unwrap(), Delivered::Durable);
    assert_eq!(signal(move |run| vec![accepted(run), Sends::Ack(REFUSED)]).await.unwrap(), Delivered::Durable);
    assert_eq!(signal(|_| vec![Sends::Ack(STORED)]).await.unwrap(), Delivered::Durable);
    assert_eq!(signal(move |run| vec![accepted(run), Sends::Ack(STORED)]).await.unwrap(), Delivered::Accepted);
    assert_eq!(signal(move |run| vec![Sends::Ack(STORED), accepted(run)]).await.unwrap(), Delivered::Accepted);
}

#[tokio::test]
async fn the_right_answer_behind_an_untrue_one_is_told() {
    let right = Rejection::new(Code::TooLarge, "full");
    let answer = Reply::Rejected(right.clone());
    let told = |run| vec![Sends::Early(Reply::Accepted { run }), Sends::Ack(REFUSED), Sends::Answer(answer)];
    let error = signal(told).await.unwrap_err();
    assert!(matches!(&error, SignalError::Rejected { rejection, .. } if *rejection == right), "{error}");
}
