//! The committer of one stream: a task that sends what has collected.

use std::sync::Arc;

use futures_util::{StreamExt, stream::FuturesUnordered};
use tokio::sync::mpsc::UnboundedReceiver;

use super::{
    flight::{self, Ids},
    queue::{Item, Queue},
};
use crate::nats::link::Link;

/// How many flights may be under way. With a second one the server has work while the answers to the first travel.
const FLIGHTS_MAX: usize = 2;

/// Sends what comes in until nobody can send any more, and what there is by then.
pub(super) async fn run(link: Arc<Link>, mut incoming: UnboundedReceiver<Item>) {
    let ids = Ids::new();
    let mut queue = Queue::default();
    let mut flights = FuturesUnordered::new();
    let mut open = true;
    loop {
        while flights.len() < FLIGHTS_MAX
            && let Some(items) = queue.take(link.client.max_payload())
        {
            flights.push(flight::fly(&link, &ids, items));
        }
        tokio::select! {
            item = incoming.recv(), if open => match item {
                Some(item) => {
                    queue.push(item);
                    while let Ok(item) = incoming.try_recv() {
                        queue.push(item);
                    }
                }
                None => open = false,
            },
            Some(subjects) = flights.next(), if !flights.is_empty() => queue.release(subjects),
            else => return,
        }
    }
}
