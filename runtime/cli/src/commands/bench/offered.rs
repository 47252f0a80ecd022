//! A load that does not wait: units begin when they should, whatever becomes of those under way.
//!
//! Whoever asks only after the last answer asks less when answers are late, and so misses the very times that matter
//! ("coordinated omission"). Here a time counts from when a unit should have begun, also when it begins later than
//! that.

use std::{
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::{Duration, Instant},
};

use tokio::{runtime::Handle, task::JoinSet, time::timeout};

use super::load::{STALL_MAX, Slice, Unit};
use crate::exit::Error;

/// The most units under way, which memory has to do for.
const UNDER_WAY_MAX: usize = 100_000;

/// Begins so many units a second for so long, and waits until all have ended, which is what the slice lasts. `look` is
/// called at the beginning and then.
pub(crate) async fn offer<U: Unit, T>(
    unit: &Arc<U>,
    per_second: f64,
    length: Duration,
    mut look: impl FnMut() -> T + Send,
) -> Result<Slice<T>, Error> {
    let (first, begun) = (look(), Instant::now());
    let (handle, unit) = (Handle::current(), Arc::clone(unit));
    // Tokio's timers are a millisecond apart, which is as much as what is to be measured.
    let pacing = tokio::task::spawn_blocking(move || pace(&handle, &unit, per_second, length));
    let mut under_way = pacing.await.map_err(Error::failed)??;
    let mut times = Vec::with_capacity(under_way.len());
    while let Some(ended) = timeout(STALL_MAX, under_way.join_next()).await.map_err(Error::failed)? {
        times.push(ended.map_err(Error::failed)??);
    }
    // All have ended, so there are no parts. Those who ask have been as fast as they should when it took no longer than
    // that.
    let (elapsed, done) = (begun.elapsed().max(length), times.len() as u64);
    Ok(Slice { edges: [first, look()], elapsed, times, work: done as f64, done })
}

/// What is under way, each with how long it took since it should have begun.
type UnderWay = JoinSet<Result<Duration, Error>>;

fn pace<U: Unit>(handle: &Handle, unit: &Arc<U>, per_second: f64, length: Duration) -> Result<UnderWay, Error> {
    let mut under_way = JoinSet::new();
    let open = Arc::new(AtomicUsize::new(0));
    let begun = Instant::now();
    for number in 0.. {
        let offset = Duration::from_secs_f64(f64::from(number) / per_second);
        if offset >= length {
            break;
        }
        let due = begun + offset;
        std::thread::sleep(due.saturating_duration_since(Instant::now()));
        if open.fetch_add(1, Ordering::Relaxed) >= UNDER_WAY_MAX {
            let text =
                format!("{UNDER_WAY_MAX} are under way, as they begin at {per_second:.0} a second and do not end");
            return Err(Error::failed(text));
        }
        let (unit, open) = (Arc::clone(unit), Arc::clone(&open));
        let once = async move {
            let mut lane = unit.open().await?;
            let outcome = unit.once(&mut lane).await;
            open.fetch_sub(1, Ordering::Relaxed);
            outcome.map(|()| due.elapsed())
        };
        under_way.spawn_on(once, handle);
    }
    Ok(under_way)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Ends late when it is the first of all.
    #[derive(Default)]
    struct StallsOnce(AtomicUsize);

    impl Unit for StallsOnce {
        type Lane = ();

        async fn open(&self) -> Result<(), Error> {
            Ok(())
        }

        async fn once(&self, _lane: &mut ()) -> Result<(), Error> {
            if self.0.fetch_add(1, Ordering::SeqCst) == 0 {
                // Everything stands still on the one thread of the runtime, as when a server stalls.
                std::thread::sleep(Duration::from_millis(50));
            }
            Ok(())
        }
    }

    #[tokio::test]
    async fn those_that_should_have_begun_during_a_stall_count_it() {
        let unit = Arc::new(StallsOnce::default());
        let mut looks = 0;
        let look = || {
            looks += 1;
            looks
        };
        let slice = offer(&unit, 1_000.0, Duration::from_millis(40), look).await.unwrap();
        assert_eq!((slice.done, slice.times.len(), slice.edges), (40, 40, [1, 2]));
        // What was asked for in 40 ms was done in 50.
        assert!(slice.elapsed >= Duration::from_millis(50), "{:?}", slice.elapsed);
        // Thirty of them should have begun within the first 30 ms, and did not before 50 ms.
        let late = slice.times.iter().filter(|took| **took >= Duration::from_millis(20)).count();
        assert!(late >= 25, "{late}: {:?}", slice.times);
    }
}
