//! What a run knows of itself, its delay, and the run that follows it.

use std::time::Duration;

use highwater_core::{
    Ctx, Exit,
    run::{Conclusion, Run},
};
use highwater_macros::{activity, workflow};
use highwater_protocol::{
    Event, Failure, FailureKind, OpId, Payload, QueueName, Started, Timestamp, WorkflowId,
    event::{AttributeValue, Attributes, InvalidAttributes, Origin},
};

use crate::play::{CHILD, LIMITS, Mode, Play, RUN, check, history, parse, registry, replay};

const SECOND: Duration = Duration::from_secs(1);

#[activity]
async fn charge(cents: u32) -> Result<u32, String> {
    Ok(cents)
}

/// A start with something more said.
fn starting(play: &Play, input: &str, change: impl FnOnce(&mut Started)) -> Event {
    let Event::Started(mut started) = play.started(input) else { unreachable!("that is what it is") };
    change(&mut started);
    Event::Started(started)
}

#[test]
fn a_run_knows_where_it_comes_from() {
    #[workflow]
    async fn order(ctx: Ctx) -> Result<(), Exit> {
        let info = ctx.info();
        assert_eq!((info.workflow_id.as_str(), info.workflow_type.as_str()), ("order-17", "order"));
        assert_eq!((info.run_id, info.first_run, info.continued_from), (RUN, CHILD, Some(CHILD)));
        assert_eq!((info.queue.as_str(), info.attempt), ("shop", 3));
        assert_eq!(info.last_failure.map(|failure| failure.message).as_deref(), Some("no money"));
        assert_eq!(info.parent.map(|parent| parent.op), Some(OpId(5)));
        assert_eq!((info.started_at, info.deadline), (Timestamp::from_millis(1_001_000), Some(Timestamp(5))));
        assert_eq!(info.headers.get("tenant").unwrap().begin(), "\"blue\"");
        assert_eq!(ctx.memo::<u32>("limit"), Some(7));
        assert_eq!(ctx.memo::<u32>("none"), None);
        ctx.sleep(SECOND).await?;
        assert_eq!(ctx.info().started_at, info.started_at);
        Ok(())
    }
    let mut play = Play::new(&registry(order), Mode::Cut);
    let started = starting(&play, "null", |started| {
        started.first_run = Some(CHILD);
        started.continued_from = Some(CHILD);
        started.attempt = 3;
        started.last_failure = Some(Failure::application("no money"));
        started.deadline = Some(Timestamp(5));
        started.parent = Some(Origin {
            workflow_id: WorkflowId::new("parent").unwrap(),
            run: CHILD,
            queue: QueueName::new("shop").unwrap(),
            op: OpId(5),
        });
        started.headers.insert("tenant", Payload::json("\"blue\""));
        started.memo.insert("limit", Payload::json("7"));
    });
    assert_eq!(play.give(vec![started]).unwrap(), ["sleep #1 until 1002"]);
    assert_eq!(play.line("fire 1"), ["completed null"]);
}

#[test]
fn a_memo_of_another_type_fails_the_task_and_says_which() {
    #[workflow]
    async fn order(ctx: Ctx) -> Result<Option<u32>, Exit> {
        Ok(ctx.memo("limit"))
    }
    let mut play = Play::new(&registry(order), Mode::Kept);
    let started = starting(&play, "null", |started| started.memo.insert("limit", Payload::json("\"x\"")));
    let failure = play.give(vec![started]).unwrap_err().failure;
    assert!(failure.message.starts_with("the memo \"limit\" does not fit: "), "{failure}");
    assert!(failure.message.contains("info.rs:"), "at the user's line: {failure}");
}

#[test]
fn the_size_of_the_history_is_the_same_at_every_replay() {
    #[workflow]
    async fn order(ctx: Ctx) -> Result<Vec<(u64, u64)>, Exit> {
        let size = || (ctx.info().history_events, ctx.info().history_bytes);
        let mut sizes = vec![size()];
        ctx.run(charge, 1).await?;
        sizes.push(size());
        ctx.signals::<String>("text").recv().await?;
        sizes.push(size());
        ctx.step("local", async |_| Ok::<_, String>(())).await?;
        sizes.push(size());
        Ok(sizes)
    }
    check(
        order,
        "> start
         run #1 charge 1
         > signal other
         > activity 1 ok 1
         > signal text \"0123456789\"
         step #2 local
         > step 2
         completed [[1,104],[4,410],[5,522],[6,626]]",
    );
}

#[test]
fn a_run_continues_as_new_when_its_history_says_so() {
    #[workflow]
    async fn order(ctx: Ctx, taken: u32) -> Result<(), Exit> {
        let mut texts = ctx.signals::<String>("text");
        loop {
            texts.recv().await?;
            assert_eq!(ctx.info().continue_as_new_suggested, ctx.continue_as_new_suggested());
            if ctx.continue_as_new_suggested() {
                return Err(ctx.continue_as_new::<order>(taken + 1));
            }
            ctx.step("local", async |_| Ok::<_, String>(())).await?;
        }
    }
    check(
        order,
        "> start 0
         > signal text \"a\"
         step #1 local
         > suggest
         > step 1
         > signal text \"b\"
         continue order 1",
    );
}

#[test]
fn it_is_suggested_once_that_a_run_continues_as_new() {
    #[workflow]
    async fn order(ctx: Ctx) -> Result<(), Exit> {
        Ok(ctx.sleep(SECOND).await?)
    }
    let mut play = Play::new(&registry(order), Mode::Kept);
    play.line("start");
    let suggested = Event::ContinueAsNewSuggested { events: 2, bytes: 200 };
    for recorded in [1, 0] {
        let transition = play.run.activate(RUN, vec![suggested.clone()], play.time).unwrap();
        assert_eq!(transition.events.len(), recorded);
    }
}

#[test]
fn a_history_that_became_too_long_ends_its_run_wherever_the_code_is() {
    #[workflow]
    async fn order(ctx: Ctx) -> Result<(), Exit> {
        Ok(ctx.sleep(SECOND).await?)
    }
    let play = Play::new(&registry(order), Mode::Kept);
    let failed = |kind| Event::Failed { failure: Failure::new(kind, "by the engine"), next: None };
    let replayed = |events: Vec<Event>| {
        let mut run = Run::new(registry(order), LIMITS);
        run.replay(RUN, &[play.started("null")], Timestamp(0))?;
        events.iter().try_for_each(|event| run.replay(RUN, std::slice::from_ref(event), Timestamp(1)))
    };
    replayed(vec![failed(FailureKind::HistoryTooLong)]).unwrap();
    let panicked = Failure::new(FailureKind::Panic, "at x.rs:1");
    let blocked = Event::WorkflowTaskFailed { failure: panicked, attempt: 1, retry_at: Timestamp(9) };
    let events =
        vec![Event::TimerStarted { op: OpId(1), fire_at: Timestamp(1) }, Event::TimerFired { op: OpId(1) }, blocked];
    let mended = events.into_iter().chain([failed(FailureKind::HistoryTooLong)]);
    replayed(mended.collect()).expect("the code was mended since, and would have ended by itself");
    let failure = replayed(vec![failed(FailureKind::Panic)]).unwrap_err().failure;
    assert_eq!(failure.kind, FailureKind::Nondeterminism, "code ends with any other by itself: {failure}");
}

#[test]
fn attributes_are_set_checked_and_read() {
    #[workflow]
    async fn order(ctx: Ctx) -> Result<String, Exit> {
        let set = |name: &str, value: AttributeValue| ctx.upsert_attributes(Attributes::default().with(name, value));
        assert_eq!(set("stage", "paid".into()), Ok(()));
        assert!(matches!(set("a b", 1.into()), Err(InvalidAttributes::Name { .. })));
        assert!(matches!(set("text", "x".repeat(2_000).into()), Ok(())));
        assert!(matches!(set("more", "x".repeat(100).into()), Err(InvalidAttributes::TooLarge { .. })));
        assert_eq!(set("text", "short".into()), Ok(()));
        Ok(ctx.info().attributes.to_json())
    }
    let mut play = Play::new(&registry(order), Mode::Cut);
    let started = starting(&play, "null", |started| started.attributes.insert("customer", "Zoë"));
    let answers = play.give(vec![started]).unwrap();
    assert_eq!(answers.len(), 4, "{answers:?}");
    assert_eq!(answers[0], "AttributesUpserted {\"stage\":\"paid\"}");
    assert_eq!(answers[2], "AttributesUpserted {\"text\":\"short\"}");
    assert!(
        answers[3]
            .starts_with("completed \"{\\\"customer\\\":\\\"Zo\\\\u00eb\\\",\\\"stage\\\":\\\"paid\\\",\\\"text\\\":")
    );
}

#[derive(Default)]
struct Delayed {
    poked: u32,
}

#[workflow(name = "delayed")]
impl Delayed {
    #[run]
    async fn run(ctx: Ctx<Self>) -> Result<u32, Exit> {
        ctx.run(charge, ctx.read(|delayed| delayed.poked)).await?;
        ctx.signals::<()>("go").recv().await?;
        Ok(ctx.read(|delayed| delayed.poked))
    }

    #[signal]
    fn poke(&mut self) {
        self.poked += 1;
    }

    #[query]
    fn poked(&self) -> u32 {
        self.poked
    }
}

#[test]
fn a_delayed_run_keeps_its_messages_and_does_not_begin_before_its_time() {
    for mode in [Mode::Kept, Mode::Evicted, Mode::Cut] {
        let mut play = Play::new(&registry(Delayed::run), mode);
        let started = starting(&play, "null", |started| started.delay_until = Some(Timestamp::from_millis(5_000)));
        assert_eq!(play.give(vec![started]).unwrap(), Vec::<String>::new(), "{mode:?}");
        assert_eq!(play.line("signal poke"), Vec::<String>::new());
        assert_eq!(play.line("signal go"), Vec::<String>::new());
        assert_eq!(play.line("query poked"), ["1"]);
        let refused = "refused u-1 as unknown-name: workflow delayed has no update ask; it has: none; it begins when its start delay has passed, and may have more then";
        assert_eq!(play.line("update ask u-1"), [refused]);
        assert_eq!(play.run.waits_for(), ["the start delay"]);
        assert_eq!(play.line("begin"), ["run #1 charge 1"], "{mode:?}");
        assert_eq!(play.line("begin"), ["ignored"]);
        assert_eq!(play.line("activity 1 ok 1"), ["completed 1"]);
    }
}

#[test]
fn a_delayed_run_that_is_cancelled_sees_so_when_it_begins() {
    let mut play = Play::new(&registry(Delayed::run), Mode::Cut);
    let started = starting(&play, "null", |started| started.delay_until = Some(Timestamp::from_millis(5_000)));
    play.give(vec![started]).unwrap();
    assert_eq!(play.line("cancel why"), Vec::<String>::new());
    assert_eq!(play.line("begin"), ["cancelled"]);
}

#[workflow(name = "next-one")]
async fn next_one(_ctx: Ctx, _round: u32) -> Result<(), Exit> {
    Ok(())
}

#[test]
fn the_next_run_is_of_the_type_and_has_the_notes_that_are_said() {
    #[workflow]
    async fn order(ctx: Ctx) -> Result<(), Exit> {
        Err(ctx.next_run::<next_one>(5).memo("note", "x").attribute("round", 5).exit())
    }
    let mut play = Play::new(&registry(order), Mode::Kept);
    let started = play.started("null");
    let transition = play.run.activate(RUN, vec![started], play.time).unwrap();
    let Some(Conclusion::ContinueAsNew(next)) = transition.conclusion else { panic!("{transition:?}") };
    assert_eq!((next.workflow_type.as_str(), next.input.begin().as_str()), ("next-one", "5"));
    assert_eq!(next.memo.get("note").unwrap().begin(), "\"x\"");
    assert_eq!(next.attributes.get("round"), Some(&AttributeValue::Int(5)));
    check(order, "> start\ncontinue next-one 5");
}

#[test]
fn a_next_run_that_cannot_be_fails_this_one() {
    #[workflow]
    async fn order(ctx: Ctx, which: u32) -> Result<(), Exit> {
        let next = ctx.next_run::<next_one>(5);
        Err(match which {
            0 => next.attribute("a b", 1).exit(),
            _ => next.memo("note", &"x".repeat(LIMITS.payload_max)).exit(),
        })
    }
    check(
        order,
        "> start 0
         failed payload does not fit: the search attribute \"a b\" may only have letters, digits, '-' and '_' in its name",
    );
    check(
        order,
        "> start 1
         failed too large: the input of the next run with its memo and headers has 1023 bytes, this server's limit for a payload is 1000; pass a reference to the data instead",
    );
}

#[test]
fn attributes_on_record_may_have_other_values_than_the_code_gives_now() {
    #[workflow(name = "order")]
    async fn order(ctx: Ctx, stage: String) -> Result<(), Exit> {
        ctx.upsert_attributes(Attributes::default().with("stage", stage)).expect("it is short");
        ctx.run(charge, 1).await?;
        Ok(())
    }
    let registry = registry(order);
    let mut records = history(order, &["start \"paid\""]);
    let mut play = Play::new(&registry, Mode::Kept);
    records[0].events[0] = parse(&mut play, "start \"unpaid\"");
    assert!(replay(&registry, &records).unwrap().1.is_empty());
}
