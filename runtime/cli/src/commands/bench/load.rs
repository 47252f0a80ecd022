//! The load: so many units of work under way at once, for so long.

use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::{Duration, Instant},
};

use tokio::task::JoinSet;

use crate::exit::Error;

/// What is done again and again: a run, a signal, a query.
pub(crate) trait Unit: Send + Sync + 'static {
    /// What one of those who ask at the same time keeps, such as the run that it signals.
    type Lane: Send + 'static;

    /// Prepares what one of those who ask at the same time needs.
    fn open(&self) -> impl Future<Output = Result<Self::Lane, Error>> + Send;

    /// Does it once, and checks what comes of it.
    fn once(&self, lane: &mut Self::Lane) -> impl Future<Output = Result<(), Error>> + Send;
}

/// Those who ask at the same time. Between slices they rest.
#[derive(Debug)]
pub(crate) struct Lanes<U: Unit> {
    unit: Arc<U>,
    lanes: Vec<U::Lane>,
}

/// When units count: a slice begins with some that do not, until as many are under way as shall be.
#[derive(Clone, Debug, Default)]
struct Window {
    counting: Arc<AtomicBool>,
    over: Arc<AtomicBool>,
}

/// What was done in a slice.
#[derive(Debug)]
pub(crate) struct Slice {
    pub(crate) elapsed: Duration,
    /// How long each took that ended meanwhile.
    pub(crate) times: Vec<Duration>,
}

impl<U: Unit> Lanes<U> {
    /// Prepares this many.
    pub(crate) async fn open(unit: U, concurrency: usize) -> Result<Self, Error> {
        let unit = Arc::new(unit);
        let mut opening = JoinSet::new();
        for _ in 0..concurrency {
            let unit = Arc::clone(&unit);
            opening.spawn(async move { unit.open().await });
        }
        let mut lanes = Vec::with_capacity(concurrency);
        while let Some(lane) = opening.join_next().await {
            lanes.push(lane.map_err(Error::failed)??);
        }
        Ok(Self { unit, lanes })
    }

    /// Has all of them ask for so long, one unit after the other, and counts what ends after the time to settle.
    /// `at_edge` is called when counting begins and when it ends.
    pub(crate) async fn slice(
        &mut self,
        settle: Duration,
        length: Duration,
        mut at_edge: impl FnMut(),
    ) -> Result<Slice, Error> {
        let window = Window::default();
        let mut under_way = JoinSet::new();
        for lane in self.lanes.drain(..) {
            under_way.spawn(ask(Arc::clone(&self.unit), lane, window.clone()));
        }
        tokio::time::sleep(settle).await;
        at_edge();
        window.counting.store(true, Ordering::Relaxed);
        let begun = Instant::now();
        tokio::time::sleep(length).await;
        window.counting.store(false, Ordering::Relaxed);
        let elapsed = begun.elapsed();
        at_edge();
        window.over.store(true, Ordering::Relaxed);
        let mut times = Vec::new();
        while let Some(done) = under_way.join_next().await {
            let (lane, took) = done.map_err(Error::failed)??;
            self.lanes.push(lane);
            times.extend(took);
        }
        Ok(Slice { elapsed, times })
    }
}

/// One unit after the other. Those that end while it counts are counted.
async fn ask<U: Unit>(unit: Arc<U>, mut lane: U::Lane, window: Window) -> Result<(U::Lane, Vec<Duration>), Error> {
    let mut took = Vec::new();
    while !window.over.load(Ordering::Relaxed) {
        let begun = Instant::now();
        unit.once(&mut lane).await?;
        if window.counting.load(Ordering::Relaxed) {
            took.push(begun.elapsed());
        }
    }
    Ok((lane, took))
}
