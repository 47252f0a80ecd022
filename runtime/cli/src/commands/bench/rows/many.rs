//! What rows have in common that have to do with many runs: doing something for each, and reading what becomes of them.

use std::{
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use futures_util::StreamExt;
use highwater::{Client, client::start::Start};
use highwater_broker::{Broker, Delivered, Publish, Stream, history::StoredRecord};
use highwater_protocol::{Key, QueueName, TypeName, subject::Verb};
use tokio::{task::JoinSet, time::timeout};

use super::QUEUE;
use crate::{
    commands::bench::{measured::Measured, stage::Stage, usage::Usage},
    exit::Error,
};

/// How many starts are under way at once where nothing depends on it.
pub(super) const AT_ONCE: usize = 256;
/// How long something may take that a row waits for, beyond what it has to.
pub(super) const WAIT_MAX: Duration = Duration::from_mins(2);

/// Does it for each number below `count`, for so many at once, and returns what came of them, in no order.
pub(super) async fn for_each<T, F>(
    count: u64,
    at_once: usize,
    work: impl Fn(u64) -> F + Clone + Send + 'static,
) -> Result<Vec<T>, Error>
where
    T: Send + 'static,
    F: Future<Output = Result<T, Error>> + Send,
{
    let next = Arc::new(AtomicU64::new(0));
    let mut lanes = JoinSet::new();
    for _ in 0..at_once {
        let (next, work) = (Arc::clone(&next), work.clone());
        lanes.spawn(async move {
            let mut done = Vec::new();
            loop {
                let number = next.fetch_add(1, Ordering::Relaxed);
                if number >= count {
                    return Ok::<_, Error>(done);
                }
                done.push(work(number).await?);
            }
        });
    }
    let mut all = Vec::new();
    while let Some(done) = lanes.join_next().await {
        all.extend(done.map_err(Error::failed)??);
    }
    Ok(all)
}

/// Starts a run for each number below `count`, for so many at once. Nobody waits for what they return.
pub(super) async fn start_each<W: 'static>(
    stage: &Stage,
    count: u64,
    at_once: usize,
    start: impl Fn(&Client, u64) -> Start<W> + Clone + Send + 'static,
) -> Result<(), Error> {
    let client = stage.client();
    let started = for_each(count, at_once, move |number| {
        let start = start(&client, number).queue(QUEUE);
        async move {
            start.await?;
            Ok(())
        }
    });
    started.await.map(drop)
}

/// Where the history stream goes on: what is stored from now on has this sequence at least.
pub(super) async fn history_end(broker: &dyn Broker) -> Result<u64, Error> {
    Ok(broker.last_seq(Stream::History).await.map_err(Error::failed)? + 1)
}

/// Hands every record that is stored from a sequence on to `take`, with the key of its workflow id, until that says that it
/// has seen enough.
pub(super) async fn watch_history(
    broker: &dyn Broker,
    from: u64,
    within: Duration,
    mut take: impl FnMut(&str, StoredRecord) -> Result<bool, Error>,
) -> Result<(), Error> {
    let subjects = broker.subjects().clone();
    let watch = async {
        let mut records =
            broker.read(Stream::History, vec![subjects.history_all()], from).await.map_err(Error::failed)?;
        while let Some(delivered) = records.next().await {
            let Delivered::Message(message) = delivered.map_err(Error::failed)? else { continue };
            let Some(key) = subjects.history_key(&message.subject).map(ToOwned::to_owned) else { continue };
            if take(&key, StoredRecord::from_message(message).map_err(Error::failed)?)? {
                return Ok(());
            }
        }
        Err(Error::failed("the history stream has ended"))
    };
    match timeout(within, watch).await {
        Ok(watched) => watched,
        Err(_) => {
            Err(Error::failed(format_args!("not everything has happened within {within:?} that this row waits for")))
        }
    }
}

/// A signal as any NATS client publishes it: nothing is read before.
pub(super) fn signal(broker: &dyn Broker, name: &str, key: &Key) -> Result<Publish, Error> {
    let (queue, name) = (QueueName::new(QUEUE)?, TypeName::new(name)?);
    let subject = broker.subjects().public(Verb::Signal, &queue, Some(&name), key);
    Ok(Publish { subject, payload: "1".into(), ..Publish::default() })
}

/// The memory of a process in bytes, as figures have it.
pub(super) fn rss(used: Option<Usage>) -> Result<f64, Error> {
    used.map(|used| used.rss as f64)
        .ok_or_else(|| Error::failed("this row needs a system that tells what a process uses: Linux"))
}

/// Milliseconds, as figures have them.
pub(super) fn ms(time: Duration) -> f64 {
    time.as_secs_f64() * 1_000.0
}

/// The time within which this part of them lies, of times in order.
pub(super) fn within(sorted: &[f64], part: f64) -> f64 {
    let last = sorted.len().saturating_sub(1);
    let at = (sorted.len() as f64 * part).ceil() as usize;
    sorted.get(at.saturating_sub(1).min(last)).copied().unwrap_or(f64::NAN)
}

/// Adds half, nearly all and all of these times, in milliseconds.
pub(super) fn spread(measured: Measured, of: &str, mut times: Vec<f64>) -> Measured {
    times.sort_by(f64::total_cmp);
    [("p50", 0.5), ("p99", 0.99), ("max", 1.0)]
        .into_iter()
        .fold(measured, |measured, (name, part)| measured.figure(format!("{of} {name}"), within(&times, part), "ms"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_part_of_the_times_lies_within_the_one_at_its_rank() {
        let times: Vec<f64> = (1..=200).map(f64::from).collect();
        let at = |times: &[f64]| [0.5, 0.99, 1.0].map(|part| within(times, part) as u64);
        assert_eq!(at(&times), [100, 198, 200]);
        assert_eq!(at(&[7.0]), [7, 7, 7]);
        assert!(within(&[], 0.5).is_nan());
    }
}
