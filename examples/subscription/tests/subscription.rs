//! Years of a subscription, in no time.

use std::time::Duration;

use highwater::testing::TestEnv;
use subscription::{Billing, Ended, Subscription, SubscriptionHandle, Terms, Why};

const MONTH: Duration = Duration::from_secs(30 * 24 * 3600);

fn terms() -> Terms {
    Terms { customer: "ann".into(), cents: 900, month: MONTH, paid: 0, next: None }
}

async fn environment(billing: &Billing) -> TestEnv {
    TestEnv::builder().workflow(Subscription::run).activities(billing.clone()).start().await
}

#[tokio::test]
async fn every_month_of_five_years_is_charged_once_and_the_history_stays_short() {
    let billing = Billing::default();
    let env = environment(&billing).await;
    let run = env.client().start(Subscription::run, terms()).id("ann").await.unwrap();
    env.sleep(MONTH * 60).await;
    run.unsubscribe().await.unwrap();
    let ended = run.result().await.unwrap();
    assert_eq!(ended, Ended { months: 61, why: Why::Unsubscribed });
    assert_eq!(billing.paid_by("ann"), [900; 61]);
    // Twelve months of a run are at most twelve charges, sleeps and what goes with them.
    let last = env.client().handle::<Subscription>("ann").unwrap();
    assert!(last.history().await.unwrap().len() < 100);
    env.finish().await;
}

#[tokio::test]
async fn a_new_price_counts_from_the_next_month_on_and_in_later_runs() {
    let billing = Billing::default();
    let env = environment(&billing).await;
    let run = env.client().start(Subscription::run, terms()).await.unwrap();
    env.sleep(MONTH * 2 + MONTH / 2).await;
    assert_eq!(run.change_price(1_000).await.unwrap(), 900);
    assert!(run.change_price(0).await.unwrap_err().to_string().contains("a month costs something"));
    env.sleep(MONTH * 12).await;
    run.unsubscribe().await.unwrap();
    run.result().await.unwrap();
    let paid = billing.paid_by("ann");
    assert_eq!((&paid[..3], &paid[3..]), (&[900; 3][..], &[1_000; 12][..]));
    env.finish().await;
}

#[tokio::test]
async fn who_does_not_pay_is_asked_three_times_and_then_unsubscribed() {
    let billing = Billing::default();
    let env = environment(&billing).await;
    let run = env.client().start(Subscription::run, terms()).await.unwrap();
    env.sleep(MONTH + MONTH / 2).await;
    billing.breaks("ann");
    assert_eq!(run.result().await.unwrap(), Ended { months: 2, why: Why::Unpaid });
    env.finish().await;
}
