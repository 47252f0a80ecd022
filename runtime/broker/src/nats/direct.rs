//! Reading single messages, and taking messages away.

use std::{collections::VecDeque, pin::pin, sync::Arc, time::Duration};

use async_nats::{HeaderMap, Message as NatsMessage, Subject};
use base64::{Engine, engine::general_purpose::STANDARD};
use bytes::Bytes;
use futures_util::{Stream, stream};
use highwater_protocol::Timestamp;
use serde::{Deserialize, Serialize};
use tokio::time::{Instant, timeout_at};

use super::{
    headers,
    link::{Exchange, Link, REPEAT_AFTER, is_unanswered},
    refusal::{NO_MESSAGE, Refusal},
};
use crate::{
    error::{Error, ErrorKind},
    message::Message,
};

/// Which message.
#[derive(Clone, Debug, Default, Serialize)]
pub(super) struct Which {
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) seq: Option<u64>,
    #[serde(rename = "last_by_subj", skip_serializing_if = "Option::is_none")]
    pub(super) last: Option<String>,
    /// With `seq`: the first at or behind it on this subject.
    #[serde(rename = "next_by_subj", skip_serializing_if = "Option::is_none")]
    pub(super) next: Option<String>,
}

impl Which {
    pub(super) fn seq(seq: u64) -> Self {
        Self { seq: Some(seq), ..Self::default() }
    }

    pub(super) fn last(subject: String) -> Self {
        Self { last: Some(subject), ..Self::default() }
    }

    fn question(&self) -> Result<Bytes, Error> {
        serde_json::to_vec(self).map(Bytes::from).map_err(|error| bad(&format!("asking for {self:?}"), error))
    }
}

impl Link {
    /// Reads a message from any replica.
    pub(super) async fn get_direct(&self, stream: &str, which: &Which) -> Result<Option<Message>, Error> {
        let question = which.question()?;
        let answer = self.ask_repeatedly(direct_get(stream), question).await?;
        read_direct(stream, which, answer)
    }

    /// Reads messages from any replica. All are asked for before this returns; what is not answered soon is asked for
    /// again.
    pub(super) fn get_each_direct(
        self: Arc<Self>,
        stream: String,
        seqs: &[u64],
    ) -> impl Stream<Item = Result<Option<Message>, Error>> + Send + use<> {
        let subject = direct_get(&stream);
        let ask = |seq: &u64| {
            let which = Which::seq(*seq);
            let exchange = which.question().map(|question| self.begin(subject.clone(), HeaderMap::new(), question));
            (which, exchange)
        };
        let asked = seqs.iter().map(ask).collect();
        let reads = Reads { link: self, stream, asked, since: Instant::now(), patience: REPEAT_AFTER };
        stream::unfold(reads, |mut reads| async move {
            let read = reads.next().await?;
            Some((read, reads))
        })
    }

    /// Reads a message from the leader.
    pub(super) async fn get_from_leader(&self, stream: &str, which: &Which) -> Result<Option<Message>, Refusal> {
        #[derive(Deserialize)]
        struct Answer {
            message: Stored,
        }
        match self.api::<Answer>(&format!("STREAM.MSG.GET.{stream}"), which).await {
            Ok(answer) => match answer.message.read() {
                Ok(message) => Ok(Some(message)),
                Err(reason) => Err(bad(&format!("reading {which:?} of {stream}"), reason).into()),
            },
            Err(refusal) if refusal.code == NO_MESSAGE => Ok(None),
            Err(refusal) => Err(refusal),
        }
    }

    /// The clock of a stream's leader.
    pub(super) async fn server_time(&self, stream: &str) -> Result<Timestamp, Error> {
        #[derive(Deserialize)]
        struct Answer {
            ts: String,
        }
        let answer: Answer = self.api(&format!("STREAM.INFO.{stream}"), &NoBody {}).await?;
        time(&answer.ts).map_err(|reason| bad("the server's time", reason))
    }

    /// The sequence of a stream's last message, by its leader.
    pub(super) async fn last_seq(&self, stream: &str) -> Result<u64, Error> {
        #[derive(Deserialize)]
        struct Answer {
            state: State,
        }
        #[derive(Deserialize)]
        struct State {
            last_seq: u64,
        }
        let answer: Answer = self.api(&format!("STREAM.INFO.{stream}"), &NoBody {}).await?;
        Ok(answer.state.last_seq)
    }

    /// Deletes a message.
    pub(super) async fn delete(&self, stream: &str, seq: u64) -> Result<(), Error> {
        #[derive(Serialize)]
        struct Body {
            seq: u64,
            // The bytes need not be overwritten.
            no_erase: bool,
        }
        let call = format!("STREAM.MSG.DELETE.{stream}");
        match self.api::<serde::de::IgnoredAny>(&call, &Body { seq, no_erase: true }).await {
            Ok(_) => Ok(()),
            Err(refusal) if is_gone(&refusal) => Ok(()),
            Err(refusal) => Err(refusal.into()),
        }
    }

    /// Deletes the messages of a subject up to and including a sequence.
    pub(super) async fn purge(&self, stream: &str, subject: &str, up_to: u64) -> Result<u64, Error> {
        #[derive(Serialize)]
        struct Body<'a> {
            filter: &'a str,
            seq: u64,
        }
        #[derive(Deserialize)]
        struct Answer {
            #[serde(default)]
            purged: u64,
        }
        if subject.is_empty() {
            return Err(bad(&format!("purging {stream}"), "no subject is named"));
        }
        // The server keeps the sequence that it is given, and takes 0 and 1 for everything.
        if up_to == 0 {
            return Ok(0);
        }
        let seq = up_to.saturating_add(1);
        let answer: Answer = self.api_once(&format!("STREAM.PURGE.{stream}"), &Body { filter: subject, seq }).await?;
        Ok(answer.purged)
    }
}

/// Messages that were asked for together.
struct Reads {
    link: Arc<Link>,
    stream: String,
    /// Those that were not handed out yet.
    asked: VecDeque<(Which, Result<Exchange, Error>)>,
    /// When the last one was answered, or was asked for again.
    since: Instant,
    /// How long after that all that are missing are asked for again.
    patience: Duration,
}

impl Reads {
    async fn next(&mut self) -> Option<Result<Option<Message>, Error>> {
        let (which, exchange) = self.asked.pop_front()?;
        let answer = match exchange {
            Ok(exchange) => self.answer(&which, exchange).await,
            Err(error) => Err(error),
        };
        Some(answer.and_then(|answer| read_direct(&self.stream, &which, answer)))
    }

    async fn answer(&mut self, which: &Which, mut exchange: Exchange) -> Result<NatsMessage, Error> {
        let reply = exchange.reply();
        let mut answer = pin!(exchange.answer());
        loop {
            let answered = timeout_at(self.since + self.patience, &mut answer).await;
            self.since = Instant::now();
            if let Ok(answer) = answered {
                return answer;
            }
            self.patience *= 2;
            self.ask_again(which, reply.clone()).await?;
            let missing = self.asked.iter().filter_map(|(which, exchange)| Some((which, exchange.as_ref().ok()?)));
            for (which, exchange) in missing.filter(|(_, exchange)| !exchange.is_answered()) {
                self.ask_again(which, exchange.reply()).await?;
            }
        }
    }

    /// Asks for the same answer once more: the first one counts.
    async fn ask_again(&self, which: &Which, reply: Subject) -> Result<(), Error> {
        self.link.post(direct_get(&self.stream), Some(reply), HeaderMap::new(), which.question()?).await
    }
}

/// A message that cannot be deleted because it is not there: `no message found`, or the store's words for it.
fn is_gone(refusal: &Refusal) -> bool {
    const SEQUENCE_NOT_FOUND: u64 = 10043;
    const DELETE_FAILED: u64 = 10057;
    match refusal.code {
        NO_MESSAGE | SEQUENCE_NOT_FOUND => true,
        DELETE_FAILED => {
            let text = &refusal.error.message;
            ["not found", "no message", "deleted message", "EOF"].iter().any(|words| text.contains(words))
        }
        _ => false,
    }
}

/// A body with nothing in it.
#[derive(Serialize)]
pub(super) struct NoBody {}

/// A message as `STREAM.MSG.GET` hands it out.
#[derive(Deserialize)]
struct Stored {
    subject: String,
    seq: u64,
    #[serde(default)]
    hdrs: Option<String>,
    #[serde(default)]
    data: Option<String>,
    time: String,
}

impl Stored {
    fn read(self) -> Result<Message, String> {
        let decode =
            |text: Option<String>| STANDARD.decode(text.unwrap_or_default()).map_err(|error| error.to_string());
        let wire = decode(self.hdrs)?;
        Ok(Message {
            subject: self.subject,
            headers: headers::from_wire(&wire),
            payload: Bytes::from(decode(self.data)?),
            seq: self.seq,
            time: time(&self.time)?,
        })
    }
}

/// The subject to ask for messages of a stream.
fn direct_get(stream: &str) -> Subject {
    format!("$JS.API.DIRECT.GET.{stream}").into()
}

/// Reads the answer to such a question.
fn read_direct(stream: &str, which: &Which, answer: NatsMessage) -> Result<Option<Message>, Error> {
    let what = || format!("reading {which:?} of {stream}");
    if is_unanswered(&answer) {
        let message = format!("{}: no replica answers", what());
        return Err(Error::new(ErrorKind::NoResponders, message));
    }
    // First of all, as a stored message can bear a status that somebody made up.
    let is_message = headers::get(answer.headers.as_ref(), headers::SEQUENCE).is_some();
    match answer.status.filter(|_| !is_message).map(|status| status.as_u16()) {
        None => direct_message(answer).map(Some).map_err(|reason| bad(&what(), reason)),
        Some(404) => Ok(None),
        Some(status) => {
            let reason = answer.description.unwrap_or_default();
            Err(bad(&what(), format!("{status} {reason}")))
        }
    }
}

fn direct_message(answer: NatsMessage) -> Result<Message, String> {
    let map = answer.headers.as_ref();
    let get = |name: &'static str| headers::get(map, name).ok_or_else(|| format!("the answer has no {name}"));
    Ok(Message {
        subject: get(headers::SUBJECT)?.to_owned(),
        seq: get(headers::SEQUENCE)?.parse().map_err(|_| "the answer's sequence is no number".to_owned())?,
        time: time(get(headers::TIME_STAMP)?)?,
        headers: headers::from_nats(map),
        payload: answer.payload,
    })
}

/// A time as the server writes it: RFC 3339 with up to nine digits behind the seconds.
fn time(text: &str) -> Result<Timestamp, String> {
    let instant: jiff::Timestamp = text.parse().map_err(|error| format!("{text:?} is not a time: {error}"))?;
    let nanos = i64::try_from(instant.as_nanosecond()).map_err(|_| format!("{text:?} is out of range"))?;
    Ok(Timestamp::from_nanos(nanos))
}

fn bad(what: &str, reason: impl ToString) -> Error {
    Error::new(ErrorKind::Other, format!("{what}: {}", reason.to_string()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_of_the_server_are_read_to_the_microsecond() {
        assert_eq!(time("1970-01-01T00:00:01.000002999Z").unwrap(), Timestamp(1_000_002));
        assert_eq!(time("1970-01-01T00:00:01Z").unwrap(), Timestamp(1_000_000));
        assert_eq!(time("1970-01-01T01:00:01.5+01:00").unwrap(), Timestamp(1_500_000));
        assert!(time("yesterday").is_err());
    }
}
