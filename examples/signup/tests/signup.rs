//! A week of signing up, in no time.

use std::time::Duration;

use highwater::testing::TestEnv;
use signup::{Mail, Outcome, Signup, SignupHandle, User};

const DAY: Duration = Duration::from_secs(24 * 3600);

fn ann() -> User {
    User { address: "ann@example.org".into(), day: DAY }
}

#[tokio::test]
async fn who_never_confirms_is_reminded_three_times_and_given_up_after_a_week() {
    let mail = Mail::default();
    let env = TestEnv::builder().workflow(Signup::run).activities(mail.clone()).start().await;
    let began = env.now();
    let run = env.client().start(Signup::run, ann()).await.unwrap();
    assert_eq!(run.result().await.unwrap(), Outcome::GivenUp);
    assert_eq!(mail.subjects().len(), 4);
    assert_eq!(env.now().since(began).as_secs() / DAY.as_secs(), 7);
    env.finish().await;
}

#[tokio::test]
async fn a_click_on_the_second_day_comes_after_one_reminder() {
    let mail = Mail::default();
    let env = TestEnv::builder().workflow(Signup::run).activities(mail.clone()).start().await;
    let run = env.client().start(Signup::run, ann()).await.unwrap();
    env.sleep(DAY * 2).await;
    assert_eq!(run.reminders().await.unwrap(), 1);
    run.confirm().await.unwrap();
    assert_eq!(run.result().await.unwrap(), Outcome::Confirmed);
    let subjects = mail.subjects();
    assert_eq!(subjects.first().map(String::as_str), Some("Please confirm your address"));
    assert_eq!(subjects.last().map(String::as_str), Some("Welcome!"));
    assert_eq!(subjects.len(), 3);
    env.finish().await;
}

#[tokio::test]
async fn a_worker_that_is_away_for_days_sends_what_is_due_when_it_is_back() {
    let mail = Mail::default();
    let env = TestEnv::builder().workflow(Signup::run).activities(mail.clone()).start().await;
    let run = env.client().start(Signup::run, ann()).await.unwrap();
    env.sleep(DAY / 2).await;
    env.stop_worker().await;
    env.sleep(DAY * 2).await;
    assert_eq!(mail.subjects().len(), 1);
    env.start_worker();
    assert_eq!(run.result().await.unwrap(), Outcome::GivenUp);
    assert_eq!(mail.subjects().len(), 4);
    env.finish().await;
}
