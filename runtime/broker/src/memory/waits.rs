//! What is handed out as it comes: messages of a stream, tasks, changes of a bucket.

use std::sync::Arc;

use futures_util::stream;
use tokio::{sync::mpsc::UnboundedReceiver, time::Instant};

use super::{
    shared::{Look, Shared, Topic},
    state::State,
    task_ack::Held,
};
use crate::{
    broker::{BoxStream, Bucket, KvEvent, Stream},
    error::Error,
    message::{Delivered, Task},
};

/// A reader of a stream.
pub(super) struct Reader {
    pub(super) shared: Arc<Shared>,
    pub(super) stream: Stream,
    pub(super) filters: Vec<String>,
    /// Everything up to here is handed out or of no concern.
    pub(super) position: u64,
    /// What was the last message when this began, until it has been told that everything up to there was handed out.
    pub(super) to_catch_up: Option<u64>,
}

impl Reader {
    pub(super) async fn next(&mut self) -> Delivered {
        let shared = Arc::clone(&self.shared);
        shared.wait(Topic::Stream(self.stream), |state| self.look(state)).await
    }

    fn look(&mut self, state: &State) -> Look<Delivered> {
        if self.shared.delivers_nothing(state) {
            return Look::Wait(None);
        }
        let (clock, log) = (self.shared.clock, state.log(self.stream));
        let next = log.next(self.position + 1, &self.filters);
        if self.to_catch_up.is_some_and(|last| next.is_none_or(|message| message.seq > last)) {
            self.to_catch_up = None;
            return Look::Found(Delivered::CaughtUp);
        }
        if let Some(message) = next {
            let at = state.faults.delivered_at(message);
            if at > clock.now() {
                return Look::Wait(clock.instant(at));
            }
            self.position = message.seq;
            return Look::Found(Delivered::Message(message.clone()));
        }
        self.position = self.position.max(log.last_seq());
        Look::Wait(log.next_due().and_then(|due| clock.instant(due)))
    }
}

/// Takes the tasks that are there, if any.
pub(super) fn take(shared: &Arc<Shared>, state: &mut State, queue: &str, max: usize) -> Look<Vec<Task>> {
    let now = Instant::now();
    let options = &shared.options;
    let until = if options.in_process { None } else { now.checked_add(options.task_ack_wait) };
    let taken = if shared.delivers_nothing(state) { Vec::new() } else { state.tasks.take(queue, max, now, until) };
    if taken.is_empty() {
        let schedule = state.log(Stream::Tasks).next_due().and_then(|due| shared.clock.instant(due));
        return Look::Wait([schedule, state.tasks.next_due(queue)].into_iter().flatten().min());
    }
    let task = |(seq, delivery): (u64, u32)| {
        let message = state.log(Stream::Tasks).get(seq)?.clone();
        let held = Held { shared: Arc::clone(shared), queue: queue.to_owned(), seq, delivery };
        Some(Task { message, delivered: delivery, ack: Box::new(held) })
    };
    Look::Found(taken.into_iter().filter_map(task).collect())
}

/// The changes of a bucket, told when they are there and not while the broker is away.
pub(super) fn changes(
    shared: Arc<Shared>,
    bucket: Bucket,
    events: UnboundedReceiver<KvEvent>,
) -> BoxStream<Result<KvEvent, Error>> {
    Box::pin(stream::unfold((shared, events), move |(shared, mut events)| async move {
        let event = shared
            .wait(Topic::Bucket(bucket), |state| {
                if state.faults.is_away() {
                    return Look::Wait(None);
                }
                match events.try_recv() {
                    Ok(event) => Look::Found(event),
                    Err(_) => Look::Wait(state.bucket(bucket).next_due()),
                }
            })
            .await;
        Some((Ok(event), (shared, events)))
    }))
}
