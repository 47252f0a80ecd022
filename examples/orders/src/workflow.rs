//! The workflow.

#![warn(clippy::disallowed_macros, clippy::disallowed_methods, clippy::iter_over_hash_type)]

use std::{fmt, time::Duration};

use highwater::prelude::*;
use serde::{Deserialize, Serialize};

use crate::Shop;

/// What is ordered.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Order {
    /// The order's number: what refunds and releases go by.
    pub id: String,
    /// What is bought.
    pub item: String,
    /// The price.
    pub cents: u64,
    /// The time between the reservation and the email; none unless it is told.
    #[serde(default)]
    pub sleep: Duration,
    /// The step that is to fail, to see the compensation.
    #[serde(default)]
    pub fail_at: Option<Step>,
}

/// What the customer gets.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Receipt {
    /// The payment.
    pub payment: String,
    /// The parcel.
    pub parcel: String,
}

/// A step of the workflow.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, clap::ValueEnum)]
pub enum Step {
    /// Take the money.
    Charge,
    /// Put the goods aside.
    Reserve,
    /// Tell the customer.
    Email,
}

impl fmt::Display for Step {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Charge => "charge",
            Self::Reserve => "reserve",
            Self::Email => "email",
        })
    }
}

/// Why an order fails.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, thiserror::Error)]
pub enum OrderError {
    /// It will never work: to try again is of no use.
    #[error("{0} was refused")]
    Refused(Step),
    /// It did not work this time.
    #[error("the ledger cannot be written: {0}")]
    Ledger(String),
}

/// An order, from the payment to the email.
///
/// Every `await` here is recorded. Should the worker end at any of them, another one goes through the records and goes
/// on where this one was: what is done is not done again.
#[workflow]
pub async fn order(ctx: Ctx, order: Order) -> Result<Receipt, Exit<OrderError>> {
    let mut undo = Vec::new();
    let result = fulfil(&ctx, &order, &mut undo).await;
    if result.is_err() {
        // What compensates goes on even if the reason is that somebody cancelled the order.
        let ctx = ctx.shielded();
        for step in undo.into_iter().rev() {
            match step {
                Step::Charge => ctx.run(Shop::refund, order.clone()).await?,
                Step::Reserve => ctx.run(Shop::release, order.clone()).await?,
                Step::Email => {}
            }
        }
    }
    result
}

/// The steps, with a note of each that has something to undo. It is made before the step: one that timed out may have
/// been done all the same, and to refund what was never charged does no harm.
async fn fulfil(ctx: &Ctx, order: &Order, undo: &mut Vec<Step>) -> Result<Receipt, Exit<OrderError>> {
    undo.push(Step::Charge);
    let payment = ctx.run(Shop::charge, order.clone()).await.map_err(Exit::own)?;
    undo.push(Step::Reserve);
    let parcel = ctx.run(Shop::reserve, order.clone()).await.map_err(Exit::own)?;
    // The timer is on the NATS server: seconds here, it may be months.
    ctx.sleep(order.sleep).await?;
    ctx.run(Shop::email, order.clone()).await.map_err(Exit::own)?;
    Ok(Receipt { payment, parcel })
}
