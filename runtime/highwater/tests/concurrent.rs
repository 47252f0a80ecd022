//! `select!`, `join!`, `try_join!`: the order in which they poll and drop, and what their branches may do.

use std::{
    cell::RefCell,
    future::{Future, IntoFuture, poll_fn, ready},
    pin::{Pin, pin},
    rc::Rc,
    task::{Context, Poll, Waker},
};

use highwater::prelude::*;

/// What happened, in order.
#[derive(Clone, Default)]
struct Log(Rc<RefCell<Vec<String>>>);

impl Log {
    fn note(&self, what: impl Into<String>) {
        self.0.borrow_mut().push(what.into());
    }

    fn read(&self) -> String {
        self.0.borrow().join(", ")
    }

    /// A future that is ready at its poll number `after`.
    fn probe(&self, name: &'static str, after: u32) -> Probe {
        Probe { log: self.clone(), name, left: after }
    }
}

struct Probe {
    log: Log,
    name: &'static str,
    left: u32,
}

impl Future for Probe {
    type Output = Result<&'static str, String>;
    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        self.log.note(format!("poll {}", self.name));
        self.left -= 1;
        if self.left == 0 {
            return Poll::Ready(if self.name.starts_with('!') { Err(self.name.into()) } else { Ok(self.name) });
        }
        cx.waker().wake_by_ref();
        Poll::Pending
    }
}

impl Drop for Probe {
    fn drop(&mut self) {
        self.log.note(format!("drop {}", self.name));
    }
}

fn run<T>(future: impl Future<Output = T>) -> T {
    let mut future = pin!(future);
    loop {
        if let Poll::Ready(output) = future.as_mut().poll(&mut Context::from_waker(Waker::noop())) {
            return output;
        }
    }
}

#[test]
fn select_polls_in_the_written_order_and_drops_the_losers_before_the_body() {
    let log = Log::default();
    run(async {
        select! {
            _ = log.probe("a", 9) => unreachable!(),
            b = log.probe("b", 2) => log.note(format!("body {}", b.unwrap())),
            _ = log.probe("c", 2) => unreachable!(),
        }
    });
    assert_eq!(log.read(), "poll a, poll b, poll c, poll a, poll b, drop a, drop b, drop c, body b");
}

#[test]
fn of_two_that_are_ready_the_first_written_wins() {
    for _ in 0..100 {
        assert_eq!(
            run(async {
                select! { a = ready(1) => a, b = ready(2) => b }
            }),
            1
        );
    }
}

#[test]
fn branches_leave_loops_and_functions_and_wait_themselves() {
    async fn leaves(which: u32, log: &Log) -> Result<String, String> {
        let mut rounds = 0;
        let mut slow = log.probe("slow", 6);
        loop {
            rounds += 1;
            select! {
                round = ready(rounds) => match round {
                    1 => continue,
                    2 => { ready(()).await }
                    3 => return Ok(format!("returned {which}")),
                    _ => break,
                }
            }
            if which == 0 {
                break;
            }
            select! {
                word = &mut slow => { word?; }
                () = ready(()) => Err("question mark")?,
            }
        }
        Ok(format!("left the loop after {rounds}"))
    }
    let log = Log::default();
    assert_eq!(run(leaves(0, &log)), Ok("left the loop after 2".to_owned()));
    assert_eq!(run(leaves(1, &log)), Err("question mark".to_owned()));
}

#[test]
fn a_future_by_reference_goes_on_in_the_next_select() {
    let log = Log::default();
    let seen = run(async {
        let mut slow = log.probe("slow", 3);
        let mut rounds = 0;
        loop {
            rounds += 1;
            select! {
                word = &mut slow => break (rounds, word),
                () = ready(()) => {}
            }
        }
    });
    assert_eq!(seen, (3, Ok("slow")));
}

#[test]
fn what_a_branch_borrows_lives_as_long_as_its_future() {
    struct Owner(u32);
    impl Owner {
        async fn value(&mut self) -> u32 {
            ready(self.0).await
        }
    }
    run(async {
        let value = select! {
            value = Owner(5).value() => value,
            () = std::future::pending() => 0,
        };
        assert_eq!((value, join!(Owner(6).value(), Owner(7).value())), (5, (6, 7)));
    });
}

#[test]
fn branches_take_patterns_and_whatever_becomes_a_future() {
    struct Later(u32);
    impl IntoFuture for Later {
        type Output = (u32, u32);
        type IntoFuture = std::future::Ready<(u32, u32)>;
        fn into_future(self) -> Self::IntoFuture {
            ready((self.0, self.0 + 1))
        }
    }
    run(async {
        assert_eq!(select! { (a, b) = Later(1) => a + b }, 3);
        assert_eq!(select! { Ok(n) | Err(n) = ready(Ok::<u32, u32>(4)) => { n } }, 4);
        assert_eq!(join!(Later(1), ready('x')), ((1, 2), 'x'));
    });
}

#[test]
fn join_polls_what_is_left_in_the_written_order() {
    let log = Log::default();
    let all = run(async { join!(log.probe("a", 1), log.probe("!b", 3), log.probe("c", 2)) });
    assert_eq!(all, (Ok("a"), Err("!b".to_owned()), Ok("c")));
    assert_eq!(log.read(), "poll a, poll !b, poll c, poll !b, poll c, poll !b, drop a, drop !b, drop c");
}

#[test]
fn try_join_ends_at_the_first_error() {
    let log = Log::default();
    let all = run(async { try_join!(log.probe("a", 3), log.probe("!b", 2), log.probe("c", 2)) });
    assert_eq!(all, Err("!b".to_owned()));
    assert_eq!(log.read(), "poll a, poll !b, poll c, poll a, poll !b, drop a, drop !b, drop c");
    assert_eq!(run(async { try_join!(log.probe("a", 3), log.probe("b", 2)) }), Ok(("a", "b")));
}

#[test]
fn join_all_keeps_the_order_of_the_list_and_polls_only_what_was_woken() {
    let polls = RefCell::new(vec![0_u32; 100]);
    let count = |n: usize| {
        let polls = &polls;
        let mut left = n % 3;
        poll_fn(move |cx| {
            polls.borrow_mut()[n] += 1;
            if left == 0 {
                return Poll::Ready(n);
            }
            left -= 1;
            cx.waker().wake_by_ref();
            Poll::Pending
        })
    };
    let all = run(join_all((0..100).map(count)));
    assert_eq!(all, (0..100).collect::<Vec<_>>());
    assert!(polls.borrow().iter().enumerate().all(|(n, polls)| *polls as usize == n % 3 + 1), "{polls:?}");
    assert!(run(join_all(Vec::<std::future::Ready<u8>>::new())).is_empty());
}

#[test]
fn try_join_all_drops_the_rest_at_the_first_error() {
    let log = Log::default();
    let all = run(try_join_all([log.probe("a", 3), log.probe("!b", 2), log.probe("c", 2)]));
    assert_eq!(all, Err("!b".to_owned()));
    assert_eq!(log.read(), "poll a, poll !b, poll c, poll a, poll !b, drop !b, drop a, drop c");
    assert_eq!(run(try_join_all([log.probe("a", 3), log.probe("b", 2)])), Ok(vec!["a", "b"]));
}

#[test]
fn a_joined_list_that_ended_stays_silent() {
    let mut joined = join_all([ready(1)]);
    let mut cx = Context::from_waker(Waker::noop());
    assert_eq!(Pin::new(&mut joined).poll(&mut cx), Poll::Ready(vec![1]));
    assert!(Pin::new(&mut joined).poll(&mut cx).is_pending());
}
