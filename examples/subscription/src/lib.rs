//! A subscription that is charged every month for years, and whose history stays short all the same.
//!
//! - [`Subscription`]: the workflow. Every twelve months it continues as a new run with the state it carries.
//! - [`Billing`]: the activities.

mod billing;

use std::time::Duration;

use highwater::{Timestamp, prelude::*};
use serde::{Deserialize, Serialize};

pub use billing::{Billing, Invoice};

/// What a subscription carries from run to run.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Terms {
    /// Who pays.
    pub customer: String,
    /// The price of a month, in cents.
    pub cents: u64,
    /// How long a month is.
    pub month: Duration,
    /// How many months were paid so far.
    pub paid: u32,
    /// When the next month is due; at once for a new subscription.
    pub next: Option<Timestamp>,
}

/// How a subscription ends.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Ended {
    /// How many months were paid.
    pub months: u32,
    /// Why it ended.
    pub why: Why,
}

/// Why a subscription ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Why {
    /// The customer wants no more.
    Unsubscribed,
    /// The customer does not pay.
    Unpaid,
}

/// After so many months a new run takes over.
const MONTHS_A_RUN: u32 = 12;

/// A subscription.
#[derive(Debug)]
pub struct Subscription {
    terms: Terms,
    ended: bool,
}

#[workflow]
impl Subscription {
    #[init]
    fn new(terms: &Terms) -> Self {
        Self { terms: terms.clone(), ended: false }
    }

    #[run]
    pub async fn run(ctx: Ctx<Self>, terms: Terms) -> Result<Ended, Exit> {
        let mut due = terms.next.unwrap_or(ctx.now());
        for month in 0.. {
            // The history is short by now only because a run ends in time.
            if month == MONTHS_A_RUN || ctx.continue_as_new_suggested() {
                let terms = ctx.read(|subscription| Terms { next: Some(due), ..subscription.terms.clone() });
                return Err(ctx.continue_as_new::<Self>(terms));
            }
            let wait = due.since(ctx.now());
            if let Ok(ended) = ctx.timeout(wait, ctx.wait_until(|subscription| subscription.ended)).await {
                ended?;
                return Ok(ctx.read(|subscription| subscription.end(Why::Unsubscribed)));
            }
            let invoice = ctx.read(|subscription| Invoice::of(&subscription.terms));
            match ctx.run(Billing::charge, invoice).await {
                Ok(()) => ctx.update(|subscription| subscription.terms.paid += 1),
                Err(error) if error.error().is_some() => {
                    return Ok(ctx.read(|subscription| subscription.end(Why::Unpaid)));
                }
                Err(other) => return Err(other.into()),
            }
            // Counted from when it was due, not from when it was paid, so that the day stays the same.
            due = due.after(terms.month);
        }
        unreachable!("a run ends after {MONTHS_A_RUN} months")
    }

    /// The price changes, from the next month on.
    #[update]
    pub fn change_price(&mut self, cents: u64) -> u64 {
        std::mem::replace(&mut self.terms.cents, cents)
    }

    #[validate(change_price)]
    fn can_change_price(&self, cents: &u64) -> Result<(), String> {
        if *cents == 0 { Err("a month costs something".to_owned()) } else { Ok(()) }
    }

    /// No further month is charged.
    #[signal]
    pub fn unsubscribe(&mut self) {
        self.ended = true;
    }

    /// How many months were paid.
    #[query]
    pub fn paid(&self) -> u32 {
        self.terms.paid
    }

    fn end(&self, why: Why) -> Ended {
        Ended { months: self.terms.paid, why }
    }
}
