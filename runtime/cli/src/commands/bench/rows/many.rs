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

use super::{QUEUE, growing::Used};
use crate::{
    commands::bench::{measured::Measured, series, stage::Stage, usage::Usage},
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

/// Hands every record that is stored from a sequence on to `take`, with the key of its workflow id, until that says
/// that it has seen enough.
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
    series::rank(sorted, part).unwrap_or(f64::NAN)
}

/// Half, nearly all and all of some times.
const PARTS: [(&str, f64); 4] = [("p50", 0.5), ("p99", 0.99), ("p99.9", 0.999), ("max", 1.0)];
/// Into how many parts times are cut to see how far they lie apart, and how many there have to be for that.
const CUTS: usize = 5;
const CUT_MIN: usize = 4;

/// Adds half, nearly all and all of these times, in milliseconds and in the order in which they were measured.
pub(super) fn spread(measured: Measured, of: &str, times: Vec<f64>) -> Measured {
    let cuts = cuts(&times);
    let all = sorted(times);
    PARTS.into_iter().fold(measured, |measured, (name, part)| {
        let spread = series::spread(cuts.iter().map(|times| within(times, part)).collect());
        measured.figure_with(format!("{of} {name}"), within(&all, part), "ms", spread)
    })
}

/// A few parts of these times, each in order; none where there are too few of them.
fn cuts(times: &[f64]) -> Vec<Vec<f64>> {
    let each = times.len().div_ceil(CUTS);
    if each < CUT_MIN { Vec::new() } else { times.chunks(each).map(|cut| sorted(cut.to_vec())).collect() }
}

/// Times in order.
pub(super) fn sorted(mut times: Vec<f64>) -> Vec<f64> {
    times.sort_by(f64::total_cmp);
    times
}

/// Adds the CPU time of worker and NATS for 1,000 of what was done between two looks, where that can be told.
pub(super) fn cpu(mut measured: Measured, of: &str, done: u64, before: Used, after: Used) -> Measured {
    for ((process, before), after) in ["worker", "NATS"].into_iter().zip(before).zip(after) {
        if let Some((before, after)) = before.zip(after) {
            let each = (after - before).cpu_per_thousand(done as f64);
            measured.add(format!("{of}{process}, CPU of 1,000"), each, "s");
        }
    }
    measured
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

    #[test]
    fn times_spread_as_far_as_their_parts_lie_apart() {
        let spread_of = |times: Vec<f64>| spread(Measured::new("row"), "of", times).figures[0].spread;
        let steady: Vec<f64> = (0..100).map(|number| f64::from(number % 4)).collect();
        assert_eq!(spread_of(steady), Some(0.0));
        // A fifth of them takes longer.
        let slowed: Vec<f64> = (0..100).map(|number| if number < 20 { 3.0 } else { 2.0 }).collect();
        assert_eq!(spread_of(slowed), Some(0.25));
        assert_eq!(spread_of(vec![1.0; 10]), None);
    }
}
