//! The load: so many units of work under way at once, for so long.

use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
    time::{Duration, Instant},
};

use tokio::{task::JoinSet, time::timeout};

use crate::exit::Error;

/// The part of a slice that passes before it counts.
const SETTLE: u32 = 5;
/// How many each of those who ask does in a slice at least, in the mean.
const EACH_MIN: u64 = 3;
/// How often is looked whether enough has ended of what takes longer than a slice.
const LOOK: Duration = Duration::from_millis(5);
/// How long nothing may end before that is an error.
pub(super) const STALL_MAX: Duration = Duration::from_mins(2);

/// What is done again and again: a run, a signal, a query.
pub(crate) trait Unit: Send + Sync + 'static {
    /// What one of those who ask at the same time keeps, such as the run that it signals.
    type Lane: Send + 'static;

    /// Prepares what one of those who ask at the same time needs.
    fn open(&self) -> impl Future<Output = Result<Self::Lane, Error>> + Send;

    /// Comes before each time and is not measured.
    fn prepare(&self, _lane: &mut Self::Lane) -> impl Future<Output = Result<(), Error>> + Send {
        async { Ok(()) }
    }

    /// Does it once, and checks what comes of it.
    fn once(&self, lane: &mut Self::Lane) -> impl Future<Output = Result<(), Error>> + Send;

    /// Takes away what was prepared.
    fn close(&self, _lane: Self::Lane) -> impl Future<Output = Result<(), Error>> + Send {
        async { Ok(()) }
    }
}

/// Those who ask at the same time. Between slices they rest.
#[derive(Debug)]
pub(crate) struct Lanes<U: Unit> {
    unit: Arc<U>,
    lanes: Vec<U::Lane>,
}

/// What those who ask share while a slice lasts.
#[derive(Clone, Debug, Default)]
struct Going {
    over: Arc<AtomicBool>,
    ended: Arc<AtomicU64>,
}

/// What was done in a slice. `T` is what was seen at its edges.
#[derive(Debug)]
pub(crate) struct Slice<T> {
    /// What it was seen to begin and to end with.
    pub(crate) edges: [T; 2],
    pub(crate) elapsed: Duration,
    /// How long each took that ended meanwhile.
    pub(crate) times: Vec<Duration>,
    /// How many were done meanwhile. Of one that was under way at an edge it is the part that lies between the edges:
    /// those who ask have begun together, so without the parts this would be a matter of whether they end just before
    /// the edge.
    pub(crate) work: f64,
    /// How many were done in all, also before and after it counted.
    pub(crate) done: u64,
}

impl<U: Unit> Lanes<U> {
    /// Prepares this many.
    pub(crate) async fn open(unit: U, concurrency: usize) -> Result<Self, Error> {
        let unit = Arc::new(unit);
        let opened = (0..concurrency).map(|_| {
            let unit = Arc::clone(&unit);
            async move { unit.open().await }
        });
        let lanes = at_once(opened).await?;
        Ok(Self { unit, lanes })
    }

    /// Takes away what was prepared.
    pub(crate) async fn close(self) -> Result<(), Error> {
        let unit = self.unit;
        let closed = self.lanes.into_iter().map(|lane| {
            let unit = Arc::clone(&unit);
            async move { unit.close(lane).await }
        });
        at_once(closed).await.map(drop)
    }

    /// Has all of them ask, one unit after the other, for so long and until a few units have ended for each of them.
    /// What ends in the first part of it does not count, as not all are under way by then; unless nothing ended, when
    /// units take longer than that, and the slice counts from its beginning.
    pub(crate) async fn slice<T>(
        &mut self,
        length: Duration,
        mut look: impl FnMut() -> T + Send,
    ) -> Result<Slice<T>, Error> {
        let going = Going::default();
        let lanes = self.lanes.len() as u64;
        let (mut first, mut begun) = (look(), Instant::now());
        let asking = self.lanes.drain(..).map(|lane| ask(Arc::clone(&self.unit), lane, going.clone()));
        let mut under_way: JoinSet<_> = asking.collect();
        tokio::time::sleep(length / SETTLE).await;
        let mut early = going.ended.load(Ordering::Relaxed);
        if early > 0 {
            (first, begun) = (look(), Instant::now());
            early = going.ended.load(Ordering::Relaxed);
        }
        tokio::time::sleep(length.saturating_sub(begun.elapsed())).await;
        while going.ended.load(Ordering::Relaxed) < early + EACH_MIN * lanes {
            if let Some(failed) = under_way.try_join_next() {
                failed.map_err(Error::failed)??;
            }
            if begun.elapsed() > length + STALL_MAX {
                return Err(Error::failed(format_args!("what is measured stands still for {STALL_MAX:?}")));
            }
            tokio::time::sleep(LOOK).await;
        }
        let (over, last) = (Instant::now(), look());
        going.over.store(true, Ordering::Relaxed);
        let mut slice = Slice { edges: [first, last], elapsed: over - begun, times: Vec::new(), work: 0.0, done: 0 };
        while let Some(asked) = timeout(STALL_MAX, under_way.join_next()).await.map_err(Error::failed)? {
            let Asked { lane, ended } = asked.map_err(Error::failed)??;
            self.lanes.push(lane);
            slice.done += ended.len() as u64;
            slice.work += work_within(&ended, begun, over);
            slice.times.extend(ended.into_iter().filter(|(at, _)| (begun..over).contains(at)).map(|(_, took)| took));
        }
        Ok(slice)
    }
}

/// What one of those who ask at the same time has done in a slice.
struct Asked<L> {
    lane: L,
    /// When each unit ended, and how long it took.
    ended: Vec<(Instant, Duration)>,
}

/// One unit after the other, until it is over.
async fn ask<U: Unit>(unit: Arc<U>, lane: U::Lane, going: Going) -> Result<Asked<U::Lane>, Error> {
    let mut asked = Asked { lane, ended: Vec::new() };
    while !going.over.load(Ordering::Relaxed) {
        unit.prepare(&mut asked.lane).await?;
        let begun = Instant::now();
        unit.once(&mut asked.lane).await?;
        let ended = Instant::now();
        asked.ended.push((ended, ended - begun));
        going.ended.fetch_add(1, Ordering::Relaxed);
    }
    Ok(asked)
}

/// How many units lie between two instants, by when each ended and how long it took: parts of those over an edge.
fn work_within(ended: &[(Instant, Duration)], begun: Instant, over: Instant) -> f64 {
    let parts = ended.iter().map(|(at, took)| {
        if took.is_zero() {
            return f64::from(u8::from((begun..over).contains(at)));
        }
        let without = begun.saturating_duration_since(at.checked_sub(*took).unwrap_or(begun)).min(*took)
            + at.saturating_duration_since(over).min(*took);
        took.saturating_sub(without).as_secs_f64() / took.as_secs_f64()
    });
    parts.sum()
}

/// Does all of these at the same time.
async fn at_once<T: Send + 'static>(
    work: impl Iterator<Item = impl Future<Output = Result<T, Error>> + Send + 'static>,
) -> Result<Vec<T>, Error> {
    let mut under_way: JoinSet<_> = work.collect();
    let mut done = Vec::with_capacity(under_way.len());
    while let Some(one) = under_way.join_next().await {
        done.push(one.map_err(Error::failed)??);
    }
    Ok(done)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Takes longer than a fifth of the slices below.
    struct Slow;

    const TAKES: Duration = Duration::from_millis(40);

    impl Unit for Slow {
        type Lane = ();

        async fn open(&self) -> Result<(), Error> {
            Ok(())
        }

        async fn once(&self, _lane: &mut ()) -> Result<(), Error> {
            tokio::time::sleep(TAKES).await;
            Ok(())
        }
    }

    #[test]
    fn of_a_unit_at_an_edge_counts_what_lies_within() {
        let now = Instant::now();
        let at = |ms| now + Duration::from_millis(ms);
        let unit = |ended, took| (at(ended), Duration::from_millis(took));
        let parts = |units: &[(Instant, Duration)]| work_within(units, at(100), at(200));
        for (ended, took, part) in [
            (150, 20, 1.0),
            (110, 20, 0.5),
            (210, 40, 0.75),
            (300, 400, 0.25),
            (90, 20, 0.0),
            (250, 40, 0.0),
            (150, 0, 1.0),
            (250, 0, 0.0),
        ] {
            let is = parts(&[unit(ended, took)]);
            assert!((is - part).abs() < 1e-9, "{is} of what ended at {ended} and took {took}");
        }
        // However whole units lie to the edges, so much fits between them.
        for shift in 0..40 {
            let back_to_back: Vec<_> = (0..8).map(|number| unit(80 + shift + 40 * number, 40)).collect();
            assert!((parts(&back_to_back) - 2.5).abs() < 1e-9, "{shift}");
        }
    }

    #[tokio::test]
    async fn a_slice_lasts_until_each_has_done_a_few() {
        let mut lanes = Lanes::open(Slow, 2).await.unwrap();
        let slice = lanes.slice(Duration::from_millis(1), || ()).await.unwrap();
        assert!(slice.elapsed >= TAKES * 3 && slice.times.len() >= 6, "{slice:?}");
    }
}
