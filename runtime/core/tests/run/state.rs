//! Signals, conditions, queries, and the state they share.

use highwater_core::{Ctx, Exit};
use highwater_macros::{activity, select, workflow};

use crate::play::{Mode, Play, check, registry};

#[activity]
async fn charge(cents: u32) -> Result<u32, String> {
    Ok(cents)
}

#[derive(Default)]
struct Cart {
    items: Vec<u32>,
    closed: bool,
}

#[workflow(name = "cart")]
impl Cart {
    #[init]
    fn new(first: &u32) -> Self {
        Self { items: vec![*first], closed: false }
    }

    #[run]
    async fn run(ctx: Ctx<Self>, _first: u32) -> Result<u32, Exit> {
        ctx.wait_until(|cart| cart.items.len() >= 3).await?;
        let paid = ctx.run(charge, ctx.read(Self::total)).await?;
        ctx.wait_until(|cart| cart.closed).await?;
        Ok(paid + ctx.read(Self::total))
    }

    #[signal]
    fn add(&mut self, item: u32) {
        self.items.push(item);
    }

    #[signal(name = "close-it")]
    fn close(&mut self) {
        self.closed = true;
    }

    #[query]
    fn total(&self) -> u32 {
        self.items.iter().sum()
    }

    #[query(name = "item")]
    fn at(&self, place: usize) -> Option<u32> {
        self.items.get(place).copied()
    }
}

#[test]
fn signals_change_the_state_and_queries_read_it() {
    check(
        Cart::run,
        "> start 1
         > query total
         1
         > signal add 2
         > query item 1
         2
         > signal close-it
         > signal add 3 + signal add 4
         run #1 charge 10
         > activity 1 ok 10
         completed 20
         > query total
         10",
    );
}

#[test]
fn an_unknown_query_hears_which_there_are() {
    #[workflow]
    async fn order(ctx: Ctx) -> Result<(), Exit> {
        ctx.on_query("status", |(): ()| "waiting");
        ctx.on_query("double", |n: u32| n * 2);
        ctx.wait_until(|()| false).await?;
        Ok(())
    }
    check(
        order,
        "> start
         > query double 21
         42
         > query status
         \"waiting\"
         > query double \"x\"
         bad-argument: the argument or result of query double does not fit: the payload is not a u32: invalid type: string \"x\", expected u32 at line 1 column 3; it begins \"\\\"x\\\"\"
         > query stat
         unknown-query: workflow order has no query stat; it has: double, status",
    );
    check(
        Cart::run,
        "> start 1
         > query sum
         unknown-query: workflow cart has no query sum; it has: item, total",
    );
}

#[test]
fn signals_wait_for_their_receiver_and_keep_their_order() {
    #[workflow]
    async fn order(ctx: Ctx) -> Result<Vec<u32>, Exit> {
        ctx.run(charge, 1).await?;
        let mut signals = ctx.signals("add");
        let mut got = Vec::new();
        while got.len() < 4 {
            got.push(signals.recv().await?);
        }
        Ok(got)
    }
    check(
        order,
        "> start
         run #1 charge 1
         > signal add 1
         > signal other 9
         > signal add 2 + signal add \"no number\" + signal add 3
         > activity 1 ok 1
         > signal add 4
         completed [1,2,3,4]",
    );
}

#[test]
fn a_signal_that_does_not_fit_its_handler_changes_nothing() {
    check(
        Cart::run,
        "> start 1
         > signal add \"x\"
         > signal add 2
         > query total
         3",
    );
}

#[test]
fn two_receivers_of_one_name_share_the_signals_out() {
    #[workflow]
    async fn order(ctx: Ctx) -> Result<Vec<u32>, Exit> {
        let (mut first, mut second) = (ctx.signals("add"), ctx.signals("add"));
        let (a, b) = highwater_macros::try_join!(first.recv(), second.recv())?;
        Ok(vec![a, b])
    }
    check(
        order,
        "> start
         > signal add 1 + signal add 2
         completed [1,2]",
    );
}

#[test]
fn a_condition_looks_again_when_the_code_itself_changes_the_state() {
    #[derive(Default)]
    struct Steps {
        done: u32,
    }
    #[workflow]
    impl Steps {
        #[run]
        async fn run(ctx: Ctx<Self>) -> Result<u32, Exit> {
            let worker = async {
                for _ in 0..3 {
                    ctx.run(charge, 1).await?;
                    ctx.update(|steps| steps.done += 1);
                }
                std::future::pending::<Result<(), Exit>>().await
            };
            select! {
                worked = worker => worked?,
                reached = ctx.wait_until(|steps| steps.done == 2) => reached?,
            }
            Ok(ctx.read(|steps| steps.done))
        }
    }
    check(
        Steps::run,
        "> start
         run #1 charge 1
         > activity 1 ok 1
         run #2 charge 1
         > activity 2 ok 1
         run #3 charge 1
         cancel activity #3
         completed 2",
    );
}

#[test]
fn a_run_that_continues_hands_on_the_signals_it_did_not_take_in_their_order() {
    #[workflow]
    async fn subscription(ctx: Ctx, round: u32) -> Result<u32, Exit> {
        let mut ticks = ctx.signals::<u32>("tick");
        let tick = ticks.recv().await?;
        if round == 2 {
            return Ok(tick);
        }
        Err(ctx.continue_as_new::<subscription>(round + 1))
    }
    check(
        subscription,
        "> start 1
         > signal tick 5
         continue subscription 2",
    );
    let mut play = Play::new(&registry(subscription), Mode::Kept);
    play.line("start 1");
    assert_eq!(
        play.line("signal other 0 + signal tick 1 + signal tick 2 + signal else 3"),
        ["continue subscription 2"]
    );
    let left = play.run.signals_left();
    let words: Vec<_> = left.iter().map(|signal| format!("{} {}", signal.name, signal.input.begin())).collect();
    assert_eq!(words, ["other 0", "tick 2", "else 3"]);

    let mut next = Play::new(&play.registry, Mode::Kept);
    let highwater_protocol::Event::Started(mut started) = next.started("2") else { unreachable!() };
    started.signals = left;
    let answers = next.give(vec![highwater_protocol::Event::Started(started)]).unwrap();
    assert_eq!(answers, ["completed 2"], "the signal was there before the code was");
}

#[test]
fn signals_handed_on_reach_the_handlers_before_the_code_runs() {
    let mut play = Play::new(&registry(Cart::run), Mode::Evicted);
    let highwater_protocol::Event::Started(mut started) = play.started("1") else { unreachable!() };
    for n in [2_u32, 3] {
        let name = highwater_protocol::TypeName::new("add").unwrap();
        let input = highwater_protocol::Payload::encode(&n).unwrap();
        started.signals.push(highwater_protocol::event::Signal::new(name, input));
    }
    assert_eq!(play.give(vec![highwater_protocol::Event::Started(started)]).unwrap(), ["run #1 charge 6"]);
}

#[test]
fn changing_the_state_while_it_is_read_is_a_panic_that_says_so() {
    #[derive(Default)]
    struct Twice;
    #[workflow]
    impl Twice {
        #[run]
        async fn run(ctx: Ctx<Self>) -> Result<(), Exit> {
            let inner = ctx.clone();
            ctx.wait_until(move |_| inner.update(|_| true)).await?;
            Ok(())
        }
    }
    let answers = Play::new(&registry(Twice::run), Mode::Kept).line("start");
    assert!(answers[0].contains("being read or changed already") && answers[0].contains("state.rs:"), "{answers:?}");
}

#[test]
fn a_handler_that_panics_fails_the_task_and_not_the_worker() {
    #[derive(Default)]
    struct Fragile;
    #[workflow]
    impl Fragile {
        #[run]
        async fn run(ctx: Ctx<Self>) -> Result<(), Exit> {
            ctx.wait_until(|_| false).await?;
            Ok(())
        }
        #[signal]
        fn poke(&mut self) {
            panic!("ouch");
        }
        #[query]
        fn ask(&self) -> u32 {
            panic!("no idea");
        }
    }
    let mut play = Play::new(&registry(Fragile::run), Mode::Kept);
    play.line("start");
    assert!(play.line("query ask")[0].starts_with("failed: query ask panicked: no idea (at "));
    assert!(play.line("signal poke")[0].starts_with("task failed: panicked: ouch (at "));
}
