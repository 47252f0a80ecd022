//! Busy polling: while the next event is probably near, the worker's thread looks for it again and again instead of
//! sleeping.
//!
//! A thread that sleeps for the 60 µs in which a server on the same machine stores a record is woken late and with cold
//! caches, and then takes two to four times as long for what it has to do. Whether staying awake is worth it is told by
//! the waits before, as for virtual processors without work (<https://docs.kernel.org/virt/kvm/halt-polling.html>): a
//! server that is far away or syncs every record, and requests that come seldom, make waits long, and the thread sleeps
//! in them as any other. For answers and for requests that is told apart: the former may be near where the latter are
//! not.

use std::{num::NonZero, thread, time::Duration};

use tokio::time::Instant;

/// How many short waits are remembered.
const CREDIT_MAX: u8 = 8;
/// How many of them a long one outweighs: no time is spent where fewer than two thirds are short.
const LONG_WAIT_COST: u8 = 2;

/// With more on their way to the broker, others have their turn while one waits. It is throughput that counts then, and
/// the processor is of more use to the broker.
const FEW: usize = 2;

/// What is waited for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Awaited {
    /// The broker, for something that is on its way to it.
    Answer,
    /// Somebody who wants something.
    Request,
}

impl Awaited {
    /// With so many things on their way to the broker. Nothing when they are too many to stay awake for one.
    fn beside(on_their_way: usize) -> Option<Self> {
        match on_their_way {
            0 => Some(Self::Request),
            1..=FEW => Some(Self::Answer),
            _ => None,
        }
    }
}

/// Decides when to stay awake.
#[derive(Debug)]
pub(super) struct BusyPoll {
    /// Waits are short up to this, and the thread stays awake for no longer.
    window: Duration,
    /// For each of [`Awaited`].
    credits: [Credit; 2],
    /// What is waited for now, and since when.
    wait: Option<(Awaited, Instant)>,
}

/// What the last waits were like: none is left when too many of them were long.
#[derive(Clone, Copy, Debug, Default)]
struct Credit(u8);

impl BusyPoll {
    /// Stays awake for as long as `window` in a wait.
    fn new(window: Duration) -> Self {
        Self { window, credits: Default::default(), wait: None }
    }

    /// Never does: there would be nobody who could make something happen meanwhile.
    pub(super) fn never() -> Self {
        Self::new(Duration::ZERO)
    }

    /// The same as [`new`](Self::new) if others have a processor to run on, within the limits of the process's control
    /// group.
    pub(super) fn beside_others(window: Duration) -> Self {
        if thread::available_parallelism().is_ok_and(|processors| processors > NonZero::<usize>::MIN) {
            Self::new(window)
        } else {
            Self::never()
        }
    }

    /// Whether to look again instead of sleeping, if nothing is there now and so many things are on their way to the
    /// broker.
    pub(super) fn stays_awake(&self, on_their_way: usize) -> bool {
        match self.wait {
            // Before that is known there is no wait.
            None => !self.window.is_zero() && Awaited::beside(on_their_way).is_some(),
            Some((awaited, since)) => !self.credits[awaited as usize].is_used_up() && since.elapsed() < self.window,
        }
    }

    /// Nothing was there: the thread waits from now on, if it does not yet. Others that wait for this processor get it.
    pub(super) fn look_again(&mut self, on_their_way: usize) {
        if self.wait.is_none() {
            self.wait = Awaited::beside(on_their_way).map(|awaited| (awaited, Instant::now()));
        }
        thread::yield_now();
    }

    /// Something was there.
    pub(super) fn end_wait(&mut self) {
        if let Some((awaited, since)) = self.wait.take() {
            self.credits[awaited as usize].count(since.elapsed() < self.window);
        }
    }
}

impl Credit {
    fn is_used_up(self) -> bool {
        self.0 == 0
    }

    fn count(&mut self, short: bool) {
        self.0 = if short { CREDIT_MAX.min(self.0 + 1) } else { self.0.saturating_sub(LONG_WAIT_COST) };
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const WINDOW: Duration = Duration::from_micros(200);
    const SHORT: Duration = Duration::from_micros(60);
    const LONG: Duration = Duration::from_millis(1);

    const REQUEST: usize = 0;
    const ANSWER: usize = 1;

    /// One wait, and whether the thread was awake when it ended.
    async fn wait(polls: &mut BusyPoll, on_their_way: usize, length: Duration) -> bool {
        assert!(polls.stays_awake(on_their_way), "whether there is something to wait for shows at the second look");
        polls.look_again(on_their_way);
        tokio::time::advance(length).await;
        let awake = polls.stays_awake(on_their_way);
        polls.end_wait();
        awake
    }

    /// As it is when such waits have all been short for a while.
    async fn after_short_waits(on_their_way: usize) -> BusyPoll {
        let mut polls = BusyPoll::new(WINDOW);
        for _ in 0..20 {
            wait(&mut polls, on_their_way, SHORT).await;
        }
        polls
    }

    #[tokio::test(start_paused = true)]
    async fn a_thread_stays_awake_once_waits_are_short() {
        let mut polls = BusyPoll::new(WINDOW);
        assert!(!wait(&mut polls, ANSWER, SHORT).await, "nothing is known of waits yet");
        assert!(wait(&mut polls, ANSWER, SHORT).await);
    }

    #[tokio::test(start_paused = true)]
    async fn it_sleeps_when_a_wait_turns_out_long() {
        let mut polls = after_short_waits(ANSWER).await;
        assert!(!wait(&mut polls, ANSWER, LONG).await);
        assert!(wait(&mut polls, ANSWER, SHORT).await, "one long wait among many short ones changes nothing");
    }

    #[tokio::test(start_paused = true)]
    async fn waits_that_are_long_end_it_and_short_ones_bring_it_back() {
        let mut polls = after_short_waits(ANSWER).await;
        for _ in 0..4 {
            wait(&mut polls, ANSWER, LONG).await;
        }
        assert!(!wait(&mut polls, ANSWER, SHORT).await);
        assert!(wait(&mut polls, ANSWER, SHORT).await);
    }

    #[tokio::test(start_paused = true)]
    async fn every_second_wait_long_is_too_many() {
        let mut polls = after_short_waits(ANSWER).await;
        let mut awake = false;
        for _ in 0..20 {
            wait(&mut polls, ANSWER, LONG).await;
            awake = wait(&mut polls, ANSWER, SHORT).await;
        }
        assert!(!awake);
    }

    #[tokio::test(start_paused = true)]
    async fn requests_that_are_seldom_do_not_keep_it_from_staying_awake_for_answers() {
        let mut polls = BusyPoll::new(WINDOW);
        for _ in 0..20 {
            wait(&mut polls, ANSWER, SHORT).await;
            assert!(!wait(&mut polls, REQUEST, LONG).await);
        }
        assert!(wait(&mut polls, ANSWER, SHORT).await);
        assert!(!wait(&mut polls, REQUEST, SHORT).await);
    }

    #[tokio::test(start_paused = true)]
    async fn many_that_are_awaited_at_once_let_it_sleep() {
        let polls = after_short_waits(FEW).await;
        assert!(!polls.stays_awake(FEW + 1));
        assert!(polls.stays_awake(FEW));
    }

    #[test]
    fn without_a_window_it_never_looks_again() {
        assert!(!BusyPoll::never().stays_awake(ANSWER));
        assert!(!BusyPoll::new(Duration::ZERO).stays_awake(ANSWER));
    }
}
