//! The payment in virtual time, with a bank in memory: whatever fails, the money is where it belongs.

use highwater::{client::ResultError, testing::TestEnv};
use payments::{Bank, Payment, PaymentError, payment};

fn bank() -> Bank {
    Bank::new([("ann", 10_000), ("shop", 0)])
}

fn from_ann_to(merchant: &str, cents: u64) -> Payment {
    Payment { customer: "ann".into(), merchant: merchant.into(), cents }
}

#[tokio::test]
async fn the_money_goes_from_the_customer_to_the_merchant() {
    let bank = bank();
    let env = TestEnv::builder().workflow(payment).activities(bank.clone()).start().await;
    let run = env.client().start(payment, from_ann_to("shop", 4_900)).await.unwrap();
    run.result().await.unwrap();
    assert_eq!((bank.balance("ann"), bank.balance("shop")), (Some(5_100), Some(4_900)));
    assert_eq!(bank.receipts(), 1);
    env.finish().await;
}

#[tokio::test]
async fn who_cannot_pay_is_told_so_and_pays_nothing() {
    let bank = bank();
    let env = TestEnv::builder().workflow(payment).activities(bank.clone()).start().await;
    let run = env.client().start(payment, from_ann_to("shop", 90_000)).await.unwrap();
    let error = run.result().await.unwrap_err();
    let expected = PaymentError::NotEnough { customer: "ann".into(), cents: 90_000 };
    assert!(matches!(error, ResultError::Failed(error) if error == expected));
    assert_eq!(bank.balance("ann"), Some(10_000));
    env.finish().await;
}

#[tokio::test]
async fn a_merchant_who_does_not_exist_costs_the_customer_nothing() {
    let bank = bank();
    let env = TestEnv::builder().workflow(payment).activities(bank.clone()).start().await;
    let run = env.client().start(payment, from_ann_to("nobody", 1_000)).await.unwrap();
    assert!(matches!(run.result().await, Err(ResultError::Failed(PaymentError::NoAccount(_)))));
    assert_eq!(bank.balance("ann"), Some(10_000));
    env.finish().await;
}

#[tokio::test]
async fn a_receipt_that_cannot_be_sent_undoes_the_payment() {
    let bank = bank();
    let env = TestEnv::builder()
        .workflow(payment)
        .activities(bank.clone())
        .mock(Bank::send_receipt, |_receipt| async { Err(PaymentError::BankDown) })
        .start()
        .await;
    let run = env.client().start(payment, from_ann_to("shop", 4_900)).await.unwrap();
    assert!(matches!(run.result().await, Err(ResultError::Failed(PaymentError::BankDown))));
    assert_eq!((bank.balance("ann"), bank.balance("shop")), (Some(10_000), Some(0)));
    env.finish().await;
}

#[tokio::test]
async fn a_payment_that_is_cancelled_half_way_is_undone() {
    let bank = bank();
    let env = TestEnv::builder()
        .workflow(payment)
        .activities(bank.clone())
        .mock(Bank::send_receipt, |_receipt| std::future::pending())
        .start()
        .await;
    let run = env.client().start(payment, from_ann_to("shop", 4_900)).await.unwrap();
    env.settle().await;
    assert!(bank.balance("shop") == Some(4_900));
    run.cancel("changed my mind").await.unwrap();
    assert!(matches!(run.result().await, Err(ResultError::Cancelled)));
    assert_eq!((bank.balance("ann"), bank.balance("shop")), (Some(10_000), Some(0)));
    env.finish().await;
}
