//! What `#[activity]` and `#[activities]` make of functions, methods and traits.

use std::{sync::Arc, time::Duration};

use futures_util::FutureExt;
use highwater::{
    ActivityInfo, ActivityItem, ActivitySet, FreeActivities, OpId, Outcome, Payload, Payloads, RetryPolicy, RunId,
    Timestamp, TypeName, Work, WorkflowId, prelude::*,
};
use serde::{Deserialize, Serialize};

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
struct Order(u32);

#[derive(Debug, PartialEq, Serialize, Deserialize, thiserror::Error)]
enum ChargeError {
    #[error("declined")]
    Declined { code: u8 },
    #[error("fraud")]
    Fraud,
    #[error("busy")]
    Busy,
}

type Charged = Result<u32, ChargeError>;

struct Shop {
    fee: u32,
}

#[activities]
impl Shop {
    /// An alias for the result, and a pattern for errors.
    #[activity(start_to_close = "10s", non_retryable = ChargeError::Declined { .. } | ChargeError::Fraud)]
    pub async fn charge(&self, Order(amount): Order) -> Charged {
        if amount == 13 {
            Err(ChargeError::Declined { code: 5 })?;
        }
        if amount == 14 {
            return Err(ChargeError::Busy);
        }
        Ok(amount + self.fee)
    }

    #[activity(heartbeat = "5s", queue = "gpu")]
    async fn upload(&self, cx: &ActivityContext, mut parts: Vec<u8>) -> Result<usize, String> {
        parts.push(0);
        Ok(parts.len() + cx.attempt() as usize)
    }

    #[activity]
    async fn nothing(&self) -> Result<(), String> {
        Ok(())
    }

    #[activity(blocking, name = "resize-image")]
    fn resize(&self, (width, height): (u32, u32)) -> Result<u32, String> {
        Ok(width * height * self.fee)
    }

    #[activity(blocking)]
    fn crunch(&self, cx: &ActivityContext) -> Result<u32, String> {
        Ok(cx.attempt())
    }

    fn helper(&self) -> u32 {
        self.fee
    }
}

#[activity(retry(initial_interval = "500ms", maximum_attempts = 2, backoff_coefficient = 3, jitter = 0.5))]
async fn greet(name: String) -> Result<String, String> {
    Ok(format!("hi {name}"))
}

#[activity]
async fn greet_again(cx: &ActivityContext, name: String) -> Result<String, String> {
    Ok(format!("hi {name} {}", cx.attempt()))
}

#[activity(blocking)]
fn square(n: u64) -> Result<u64, String> {
    Ok(n * n)
}

#[activities]
trait Billing {
    /// Bodies are elsewhere.
    #[activity(start_to_close = "1m", non_retryable = _)]
    async fn refund(&self, order: Order) -> Charged;
    #[activity(blocking)]
    fn print(&self, cx: &ActivityContext, order: Order) -> Result<u32, String>;
}

struct Acme;

impl Billing for Acme {
    async fn refund(&self, order: Order) -> Charged {
        if order.0 == 0 { Err(ChargeError::Busy) } else { Ok(order.0) }
    }
    fn print(&self, cx: &ActivityContext, order: Order) -> Result<u32, String> {
        Ok(order.0 + cx.attempt())
    }
}

trait Database: Send + Sync + 'static {
    fn size(&self) -> usize;
}

struct InMemory(usize);

impl Database for InMemory {
    fn size(&self) -> usize {
        self.0
    }
}

struct Store<D>(D);

#[activities]
impl<D: Database> Store<D>
where
    D: Sized,
{
    #[activity]
    async fn size(&self, unit: usize) -> Result<usize, String> {
        Ok(self.0.size() / unit)
    }
}

/// Never polled: that it compiles is the test.
#[workflow]
async fn calls_every_shape(ctx: Ctx, order: Order) -> Result<u32, Exit<ChargeError>> {
    let total: u32 = ctx.run(Shop::charge, order.clone()).await?;
    let size: usize = ctx.run(Shop::upload, vec![1]).start_to_close(Duration::from_secs(1)).queue("gpu").await?;
    ctx.run(Shop::nothing, ()).await?;
    ctx.run(Shop::resize, (1, 2)).await?;
    ctx.run(Shop::crunch, ()).await?;
    ctx.run(greet, "x".into()).await?;
    ctx.run(greet_again, "x".into()).await?;
    ctx.run(square, 3).await?;
    ctx.run(Store::<InMemory>::size, 3).await?;
    ctx.run(BillingCalls::print, order.clone()).await?;
    let refunded = ctx.run(BillingCalls::refund, order).await.map_err(Exit::own)?;
    Ok(total + refunded + u32::try_from(size).unwrap_or(0))
}

#[derive(Debug)]
struct Nowhere;

impl highwater::ActivityPort for Nowhere {
    fn heartbeat(&self, _: Payload) {}
    fn is_cancelled(&self) -> bool {
        false
    }
    fn cancelled(&self) -> std::pin::Pin<Box<dyn Future<Output = ()> + Send>> {
        Box::pin(std::future::pending())
    }
}

fn context(attempt: u32) -> ActivityContext {
    let info = ActivityInfo {
        name: TypeName::new("any").unwrap(),
        workflow_id: WorkflowId::new("order-17").unwrap(),
        workflow_type: TypeName::new("order").unwrap(),
        run: RunId(uuid::Uuid::nil()),
        op: OpId(1),
        attempt,
        scheduled_at: Timestamp::ZERO,
        idempotency_key: uuid::Uuid::nil(),
        heartbeat_timeout: None,
        last_heartbeat: None,
        last_failure: None,
        trace: None,
        headers: Payloads::default(),
    };
    ActivityContext::new(info, Arc::new(Nowhere))
}

/// Runs an attempt as a worker does, and tells whether it wanted a thread of its own.
fn attempt(set: impl ActivitySet, name: &str, input: &str) -> Option<(bool, Outcome)> {
    let work = Arc::new(set).dispatch(name, &context(3), &Payload::json(input.to_owned()))?;
    Some(match work {
        Work::Async(future) => (false, future.now_or_never().expect("these activities do not wait")),
        Work::Blocking(code) => (true, std::thread::spawn(code).join().expect("it does not panic")),
    })
}

#[track_caller]
fn check(set: impl ActivitySet, name: &str, input: &str, blocking: bool, value: &str) {
    let expected = Outcome::Completed(Payload::json(value.to_owned()));
    assert_eq!(attempt(set, name, input), Some((blocking, expected)));
}

#[track_caller]
fn check_error(set: impl ActivitySet, input: &str, name: &str, retryable: bool, message: &str) {
    let Some((false, Outcome::Failed(failure))) = attempt(set, name, input) else { panic!("it did not fail") };
    assert_eq!((failure.is_retryable(), failure.message.as_str()), (retryable, message));
}

const SHOP: Shop = Shop { fee: 1 };

#[test]
fn a_set_finds_its_activities_by_name() {
    check(SHOP, "charge", "5", false, "6");
    check(SHOP, "upload", "[7]", false, "5");
    check(SHOP, "nothing", "null", false, "null");
    check(SHOP, "resize-image", "[2,3]", true, "6");
    check(SHOP, "crunch", "", true, "3");
    check(Store(InMemory(12)), "size", "4", false, "3");
    assert_eq!(attempt(SHOP, "helper", "null"), None);
    assert_eq!(attempt(SHOP, "resize", "[2,3]"), None, "it has another name");
}

#[test]
fn functions_of_their_own_are_a_set_too() {
    let all = || FreeActivities::new().with(greet).with(greet_again).with(square);
    check(all(), "greet", "\"Ann\"", false, "\"hi Ann\"");
    check(all(), "greet_again", "\"Ann\"", false, "\"hi Ann 3\"");
    check(all(), "square", "5", true, "25");
    assert_eq!(attempt(all(), "charge", "5"), None);
    let names: Vec<_> = all().activities().into_iter().map(|one| one.function).collect();
    assert_eq!(names, ["activities::greet", "activities::greet_again", "activities::square"]);
}

#[test]
fn what_implements_a_declaration_runs_it() {
    check(BillingCalls(Acme), "refund", "5", false, "5");
    check(BillingCalls(Acme), "print", "5", true, "8");
    check_error(BillingCalls(Acme), "0", "refund", false, "busy");
    let names: Vec<_> = BillingCalls(Acme).activities().into_iter().map(|one| one.name).collect();
    assert_eq!(names, ["refund", "print"]);
}

#[test]
#[should_panic(
    expected = "BillingCalls::refund runs in another process; call it from a workflow with `ctx.run(BillingCalls::refund, …)`"
)]
fn awaiting_a_declaration_is_told_where_it_runs() {
    let _ = BillingCalls(()).refund(Order(1)).now_or_never();
}

#[test]
fn a_pattern_says_which_errors_are_final() {
    check_error(SHOP, "13", "charge", false, "declined");
    check_error(SHOP, "14", "charge", true, "busy");
}

#[test]
fn an_input_that_does_not_fit_is_final() {
    let text = "the input of activity charge does not fit: the payload is not a activities::Order: \
                invalid type: string \"x\", expected u32 at line 1 column 3; it begins \"\\\"x\\\"\"";
    check_error(SHOP, "\"x\"", "charge", false, text);
}

#[test]
fn methods_stay_callable() {
    assert_eq!(SHOP.charge(Order(5)).now_or_never(), Some(Ok(6)));
    assert_eq!(SHOP.charge(Order(13)).now_or_never(), Some(Err(ChargeError::Declined { code: 5 })));
    assert_eq!(SHOP.upload(&context(1), vec![]).now_or_never(), Some(Ok(2)));
    assert_eq!(SHOP.resize((2, 4)).now_or_never(), Some(Ok(8)), "blocking or not, it is awaited");
    assert_eq!(SHOP.helper(), 1);
    assert_eq!(greet("you".into()).now_or_never(), Some(Ok("hi you".to_owned())));
    assert_eq!(square(9).now_or_never(), Some(Ok(81)));
    let _ = calls_every_shape;
}

fn defaults<P, A: ActivityItem<P>>(_activity: A) -> highwater::ActivityDefaults {
    A::DEFAULTS
}

#[test]
fn options_are_known_from_the_function_alone() {
    let charge = defaults(Shop::charge);
    assert_eq!((charge.name, charge.start_to_close), ("charge", Some(Duration::from_secs(10))));
    assert_eq!(charge.retry(), RetryPolicy::default());
    let upload = defaults(Shop::upload);
    assert_eq!((upload.queue, upload.heartbeat), (Some("gpu"), Some(Duration::from_secs(5))));
    assert_eq!(defaults(Shop::resize).name, "resize-image");
    let expected = RetryPolicy {
        initial_interval: Duration::from_millis(500),
        maximum_attempts: 2,
        backoff_coefficient: 3.0,
        jitter: 0.5,
        ..RetryPolicy::default()
    };
    assert_eq!(defaults(greet).retry(), expected);
}
