//! Reading a stream for ever.

use std::{collections::VecDeque, sync::Arc, time::Duration};

use futures_util::{Stream, stream};
use highwater_protocol::Timestamp;
use tokio::time::sleep;

use super::{
    cursor::{Cursor, Start, Step},
    link::Link,
    refusal::Refusal,
};
use crate::{
    error::{Error, ErrorKind},
    message::{Delivered, Message},
};

/// The first and the longest pause between two attempts to go on.
const PAUSE: Duration = Duration::from_millis(20);
const PAUSE_MAX: Duration = Duration::from_secs(1);
/// How often in a row a stream may be missing before a reader gives up: it was deleted.
const NOT_FOUND_MAX: u32 = 20;

/// A reader of a stream.
#[derive(Debug)]
struct Reader {
    link: Arc<Link>,
    stream: String,
    filters: Vec<String>,
    from_seq: u64,
    /// The last message that was handed out.
    last: Option<(u64, Timestamp)>,
    caught_up: bool,
    cursor: Option<Cursor>,
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
            from_seq,
            last: None,
            caught_up: false,
            cursor: None,
            ready: VecDeque::new(),
            ended: false,
        };
        reader.attach().await?;
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
                Step::Message(message, pending) => {
                    self.deliver(message);
                    if pending == 0 {
                        self.catch_up();
                    }
                }
                Step::Idle => self.catch_up(),
                Step::Lost(reason) => {
                    tracing::debug!(stream = self.stream, "reading anew: {reason}");
                    self.cursor = None;
                }
            }
        }
    }

    fn deliver(&mut self, message: Message) {
        if message.seq < self.from_seq {
            return;
        }
        if let Some((last, time)) = self.last
            && message.seq <= last
        {
            if message.seq == last && message.time != time {
                self.fail(self.went_backwards(&format!("message {last} is another one now")));
            }
            return;
        }
        self.last = Some((message.seq, message.time));
        self.ready.push_back(Ok(Delivered::Message(message)));
    }

    fn catch_up(&mut self) {
        if !self.caught_up && !self.ended {
            self.caught_up = true;
            self.ready.push_back(Ok(Delivered::CaughtUp));
        }
    }

    fn fail(&mut self, error: Error) {
        self.ended = true;
        self.cursor = None;
        self.ready.push_back(Err(error));
    }

    /// Makes a consumer that goes on where the last one was.
    async fn attach(&mut self) -> Result<(), Refusal> {
        let known = self.last.map_or_else(|| self.from_seq.saturating_sub(1), |(seq, _)| seq);
        let last_seq = self.link.last_seq(&self.stream).await?;
        if last_seq < known {
            let reason = format!("its last message is {last_seq}, and {known} was there before");
            return Err(self.went_backwards(&reason).into());
        }
        // From the last one itself, to see whether it is still the same.
        let start = Start::At(self.last.map_or(self.from_seq, |(seq, _)| seq));
        let cursor = Cursor::open(self.link.clone(), &self.stream, &self.filters, start).await?;
        if cursor.pending == 0 {
            self.catch_up();
        }
        self.cursor = Some(cursor);
        Ok(())
    }

    /// Tries until there is a consumer again, or there never will be.
    async fn attach_again(&mut self) {
        let mut pause = PAUSE;
        let mut not_found = 0;
        loop {
            let refusal = match self.attach().await {
                Ok(()) => return,
                Err(refusal) => refusal,
            };
            if refusal.error.kind == ErrorKind::NotFound {
                not_found += 1;
            }
            // A stream may be missing for a moment while a cluster comes up.
            let passing = refusal.error.is_retryable() || (1..NOT_FOUND_MAX).contains(&not_found);
            if !passing {
                return self.fail(refusal.error);
            }
            tracing::debug!(stream = self.stream, "cannot read on yet: {}", refusal.error);
            sleep(pause).await;
            pause = (pause * 2).min(PAUSE_MAX);
        }
    }

    fn went_backwards(&self, reason: &str) -> Error {
        let stream = &self.stream;
        Error::new(ErrorKind::Other, format!("the stream {stream} went backwards, messages are lost: {reason}"))
    }
}
