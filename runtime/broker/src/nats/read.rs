//! Reading a stream for ever.

use std::{collections::VecDeque, sync::Arc, time::Duration};

use futures_util::{Stream, stream};
use highwater_protocol::Timestamp;
use tokio::time::{Instant, sleep};

use super::{
    cursor::{Cursor, Start, Step},
    direct::Which,
    link::{ANSWER_WAIT, Link},
    refusal::Refusal,
};
use crate::{
    error::{Error, ErrorKind},
    message::{Delivered, Message},
    rules::matches,
};

/// The first and the longest pause between two attempts to go on.
const PAUSE: Duration = Duration::from_millis(20);
const PAUSE_MAX: Duration = Duration::from_secs(1);
/// How often in a row a stream may be missing before a reader gives up: it was deleted.
const NOT_FOUND_MAX: u32 = 20;
/// After so many interruptions in a row without a message, the next message is suspected to be their cause.
const BARREN_MAX: u32 = 2;
/// How many messages are read with care at a time, at first and at most.
const CAREFUL: u32 = 16;
const CAREFUL_MAX: u32 = 1024;

/// A reader of a stream.
#[derive(Debug)]
struct Reader {
    link: Arc<Link>,
    stream: String,
    filters: Vec<String>,
    /// Everything up to here is handed out or of no concern.
    position: u64,
    /// The last message that was handed out.
    last: Option<(u64, Timestamp)>,
    caught_up: bool,
    cursor: Option<Cursor>,
    /// Interruptions in a row without a sign of life from a consumer in between.
    barren: u32,
    /// How many messages the next careful reading takes.
    careful: u32,
    ready: VecDeque<Result<Delivered, Error>>,
    ended: bool,
}

impl Link {
    /// Reads a stream in order. The first consumer is made before this returns.
    pub(super) async fn read(
        self: Arc<Self>,
        stream: String,
        filters: Vec<String>,
        from_seq: u64,
    ) -> Result<impl Stream<Item = Result<Delivered, Error>> + Send + use<>, Error> {
        let mut reader = Reader {
            link: self,
            stream,
            filters,
            position: from_seq.saturating_sub(1),
            last: None,
            caught_up: false,
            cursor: None,
            barren: 0,
            careful: CAREFUL,
            ready: VecDeque::new(),
            ended: false,
        };
        let start = Instant::now();
        while let Err(refusal) = reader.go_on().await {
            // It may be the first message that ends connections, and then it does so at once.
            if refusal.error.kind != ErrorKind::Unavailable || start.elapsed() >= ANSWER_WAIT {
                return Err(refusal.error);
            }
            reader.barren += 1;
        }
        Ok(stream::unfold(reader, |mut reader| async move {
            let item = reader.next().await?;
            Some((item, reader))
        }))
    }
}

impl Reader {
    async fn next(&mut self) -> Option<Result<Delivered, Error>> {
        loop {
            if let Some(item) = self.ready.pop_front() {
                return Some(item);
            }
            if self.ended {
                return None;
            }
            let Some(cursor) = &mut self.cursor else {
                self.attach_again().await;
                continue;
            };
            match cursor.next().await {
                Step::Message(message, pending) => self.take(message, pending),
                Step::Batched(message, pending) => match self.settle(message.seq).await {
                    Ok(()) => self.take(message, pending),
                    Err(error) => self.interrupted(&error.to_string()),
                },
                Step::Idle => {
                    (self.barren, self.careful) = (0, CAREFUL);
                    self.catch_up();
                }
                Step::Lost(reason) => self.interrupted(reason),
            }
        }
    }

    fn interrupted(&mut self, reason: &str) {
        tracing::debug!(stream = self.stream, "reading anew: {reason}");
        self.barren += 1;
        self.cursor = None;
    }

    fn take(&mut self, message: Message, pending: u64) {
        self.barren = 0;
        self.deliver(message);
        if pending == 0 {
            self.catch_up();
        }
    }

    /// Returns when the batch that a message is of is on the disk.
    ///
    /// A consumer delivers the messages of a batch while the server still writes them. What is known of such a message
    /// must not be on the disk before it is: after a loss of power its sequence could be another message's. Reads from
    /// the leader wait until a batch is whole, so once one was answered, all of the batch may be handed out.
    async fn settle(&self, seq: u64) -> Result<(), Error> {
        self.link.get_from_leader(&self.stream, &Which::seq(seq)).await?;
        Ok(())
    }

    fn deliver(&mut self, message: Message) {
        if message.seq > self.position {
            self.position = message.seq;
            self.last = Some((message.seq, message.time));
            self.ready.push_back(Ok(Delivered::Message(message)));
        }
    }

    fn catch_up(&mut self) {
        if !self.caught_up {
            self.caught_up = true;
            self.ready.push_back(Ok(Delivered::CaughtUp));
        }
    }

    /// Makes a consumer that goes on where the last one was.
    async fn attach(&mut self) -> Result<(), Refusal> {
        self.check_last().await?;
        let start = Start::At(self.position + 1);
        let cursor = Cursor::open(self.link.clone(), &self.stream, &self.filters, start).await?;
        if cursor.pending == 0 {
            self.catch_up();
        }
        self.cursor = Some(cursor);
        Ok(())
    }

    /// Checks that the stream still has what was read of it.
    async fn check_last(&self) -> Result<(), Refusal> {
        let (position, last_seq) = (self.position, self.link.last_seq(&self.stream).await?);
        if last_seq < position {
            return Err(self.went_backwards(&format!("it had {position} messages and has {last_seq}")).into());
        }
        let Some((seq, time)) = self.last else { return Ok(()) };
        match self.link.get_from_leader(&self.stream, &Which::seq(seq)).await? {
            Some(message) if message.time != time => {
                Err(self.went_backwards(&format!("message {seq} is another one now")).into())
            }
            _ => Ok(()),
        }
    }

    /// Tries until there is a consumer again, or there never will be.
    async fn attach_again(&mut self) {
        let mut pause = PAUSE;
        let mut not_found = 0;
        loop {
            let refusal = match self.go_on().await {
                Ok(()) => return,
                Err(refusal) => refusal,
            };
            match refusal.error.kind {
                ErrorKind::NotFound => not_found += 1,
                ErrorKind::Unavailable => self.barren += 1,
                _ => {}
            }
            // A stream may be missing for a moment while a cluster comes up.
            let passing = refusal.error.is_retryable() || (1..NOT_FOUND_MAX).contains(&not_found);
            if !passing {
                self.ended = true;
                self.ready.push_back(Err(refusal.error));
                return;
            }
            tracing::debug!(stream = self.stream, "cannot read on yet: {}", refusal.error);
            sleep(pause).await;
            pause = (pause * 2).min(PAUSE_MAX);
        }
    }

    async fn go_on(&mut self) -> Result<(), Refusal> {
        if self.barren >= BARREN_MAX {
            self.read_with_care().await?;
            self.barren = 0;
        }
        self.attach().await
    }

    /// Reads the next messages one by one, in a form that cannot do harm.
    ///
    /// async-nats gives a connection up when a message's headers are not as they should be. Anybody who may publish can
    /// have made such a message, and it would be delivered again and again.
    async fn read_with_care(&mut self) -> Result<(), Refusal> {
        tracing::warn!(stream = self.stream, after = self.position, "the next message may end connections");
        self.check_last().await?;
        for _ in 0..self.careful {
            let next = Which { seq: Some(self.position + 1), next: Some(">".into()), last: None };
            let Some(message) = self.link.get_from_leader(&self.stream, &next).await? else { break };
            let wanted = |filter: &String| matches(filter, &message.subject);
            if self.filters.is_empty() || self.filters.iter().any(wanted) {
                self.deliver(message);
            } else {
                self.position = message.seq;
            }
        }
        self.careful = (self.careful * 2).min(CAREFUL_MAX);
        Ok(())
    }

    fn went_backwards(&self, reason: &str) -> Error {
        let stream = &self.stream;
        Error::new(ErrorKind::Other, format!("the stream {stream} went backwards, messages are lost: {reason}"))
    }
}
