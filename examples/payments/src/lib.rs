//! A payment in four steps. Should one of them fail, or somebody cancel it half-way, what was done before is undone.
//!
//! - [`payment()`]: the workflow, a saga.
//! - [`Bank`]: its activities.

mod bank;

use highwater::prelude::*;
use serde::{Deserialize, Serialize};

pub use bank::{Account, Bank};

/// Who pays whom.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Payment {
    /// The customer's account.
    pub customer: String,
    /// The merchant's account.
    pub merchant: String,
    /// How much.
    pub cents: u64,
}

/// What the customer gets.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Receipt {
    /// What the bank calls the withdrawal.
    pub withdrawal: String,
    /// What the bank calls the deposit.
    pub deposit: String,
}

/// Why there is no payment.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, thiserror::Error)]
pub enum PaymentError {
    /// The customer has not enough money.
    #[error("{customer} cannot pay {cents} cents")]
    NotEnough {
        /// The customer's account.
        customer: String,
        /// What was asked for.
        cents: u64,
    },
    /// There is no such account.
    #[error("there is no account {0}")]
    NoAccount(String),
    /// The bank cannot be reached. This may pass.
    #[error("the bank does not answer")]
    BankDown,
}

/// What is undone when a later step fails.
enum Undo {
    Withdrawal(Payment),
    Deposit(Payment),
}

/// Takes the money, gives it to the merchant, and sends the receipt: all of it, or nothing.
#[workflow]
pub async fn payment(ctx: Ctx, payment: Payment) -> Result<Receipt, Exit<PaymentError>> {
    let mut undo = Vec::new();
    let result = pay(&ctx, &payment, &mut undo).await;
    if result.is_err() {
        // A cancelled payment is undone too, so what undoes it must not be cancelled along with it.
        compensate(&ctx.shielded(), undo).await?;
    }
    result
}

/// The steps, each with a note of what undoes it. The note is made before the step: one that timed out may have been
/// done all the same, and to undo what was not done does no harm.
async fn pay(ctx: &Ctx, payment: &Payment, undo: &mut Vec<Undo>) -> Result<Receipt, Exit<PaymentError>> {
    undo.push(Undo::Withdrawal(payment.clone()));
    let withdrawal = ctx.run(Bank::withdraw, payment.clone()).await.map_err(own)?;
    undo.push(Undo::Deposit(payment.clone()));
    let deposit = ctx.run(Bank::deposit, payment.clone()).await.map_err(own)?;
    let receipt = Receipt { withdrawal, deposit };
    ctx.run(Bank::send_receipt, receipt.clone()).await.map_err(own)?;
    Ok(receipt)
}

async fn compensate(ctx: &Ctx, undo: Vec<Undo>) -> Result<(), Exit<PaymentError>> {
    for step in undo.into_iter().rev() {
        match step {
            Undo::Withdrawal(payment) => ctx.run(Bank::refund, payment).await?,
            Undo::Deposit(payment) => ctx.run(Bank::take_back, payment).await?,
        }
    }
    Ok(())
}

/// An activity's own error is the payment's, so that whoever started it gets it with its type.
fn own(error: CallError<PaymentError>) -> Exit<PaymentError> {
    match error.error() {
        Some(error) => Exit::Error(error.clone()),
        None => error.into(),
    }
}
