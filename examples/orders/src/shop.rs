//! The activities: code that may do everything, and may run more than once.

use std::time::Duration;

use highwater::prelude::*;

use crate::{Ledger, Order, OrderError, Step};

/// What the activities need: in a real shop a database and clients of other services.
#[derive(Clone, Debug)]
pub struct Shop {
    /// Where they write what they do.
    pub ledger: Ledger,
    /// How long each of them takes.
    pub work: Duration,
}

#[activities]
impl Shop {
    #[activity(start_to_close = "30s", non_retryable = OrderError::Refused(_))]
    pub async fn charge(&self, context: &ActivityContext, order: Order) -> Result<String, OrderError> {
        self.refuse_if_asked(context, &order, Step::Charge)?;
        self.once(context, &order).await?;
        Ok(format!("{} cents for {}", order.cents, order.id))
    }

    #[activity(start_to_close = "30s", non_retryable = OrderError::Refused(_))]
    pub async fn reserve(&self, context: &ActivityContext, order: Order) -> Result<String, OrderError> {
        self.refuse_if_asked(context, &order, Step::Reserve)?;
        self.once(context, &order).await?;
        Ok(format!("{} for {}", order.item, order.id))
    }

    #[activity(start_to_close = "30s", non_retryable = OrderError::Refused(_))]
    pub async fn email(&self, context: &ActivityContext, order: Order) -> Result<(), OrderError> {
        self.refuse_if_asked(context, &order, Step::Email)?;
        self.once(context, &order).await
    }

    #[activity(start_to_close = "30s")]
    pub async fn refund(&self, context: &ActivityContext, order: Order) -> Result<(), OrderError> {
        self.once(context, &order).await
    }

    #[activity(start_to_close = "30s")]
    pub async fn release(&self, context: &ActivityContext, order: Order) -> Result<(), OrderError> {
        self.once(context, &order).await
    }
}

impl Shop {
    /// Does the work of an activity once, however often the activity runs.
    ///
    /// An activity runs again when its worker dies before the result is recorded, and nobody can tell from outside
    /// whether the money had moved by then. So the call carries a key that is the same at every attempt, and the other
    /// side does nothing for a key that it has seen: payment providers do that for you. Here the ledger is the other
    /// side.
    async fn once(&self, context: &ActivityContext, order: &Order) -> Result<(), OrderError> {
        self.note(context, order, "begins")?;
        tokio::time::sleep(self.work).await;
        let key = context.idempotency_key().simple().to_string();
        let done = self.ledger.has(&["done", &key]).map_err(|error| OrderError::Ledger(error.to_string()))?;
        self.note(context, order, if done { "was done before" } else { "done" })
    }

    fn refuse_if_asked(&self, context: &ActivityContext, order: &Order, step: Step) -> Result<(), OrderError> {
        if order.fail_at != Some(step) {
            return Ok(());
        }
        self.note(context, order, "refused")?;
        Err(OrderError::Refused(step))
    }

    fn note(&self, context: &ActivityContext, order: &Order, what: &str) -> Result<(), OrderError> {
        let (name, attempt) = (context.info().name.as_str(), context.attempt());
        let (key, worker) = (context.idempotency_key().simple(), std::process::id());
        let line = format!("{:<12} {name:<8} {what:<16} attempt {attempt}  worker {worker:<7} key {key}", order.id);
        println!("{line}");
        self.ledger.append(&line).map_err(|error| OrderError::Ledger(error.to_string()))
    }
}
