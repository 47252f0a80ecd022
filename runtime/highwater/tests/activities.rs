//! What `#[activity]` and `#[activities]` make of functions, methods and traits.

use std::{sync::Arc, time::Duration};

use highwater::{ActivitySet, FreeActivities, Payload, prelude::*};
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

#[workflow]
async fn all(ctx: Ctx, order: Order) -> Result<u32, Exit<ChargeError>> {
    let total = ctx.run(Shop::charge, order).await?;
    let size: usize = ctx.run(Shop::upload, vec![1]).start_to_close(Duration::from_secs(1)).await?;
    ctx.run(Shop::nothing, ()).await?;
    ctx.run(Shop::resize, (1, 2)).await?;
    ctx.run(Shop::crunch, ()).await?;
    ctx.run(greet, "x".into()).await?;
    ctx.run(greet_again, "x".into()).await?;
    ctx.run(square, 3).await?;
    Ok(total + size as u32)
}

#[test]
fn first() {
    let shop = Shop { fee: 1 };
    assert_eq!(shop.helper(), 1);
    let _ = all;
    let _ = FreeActivities::new().with(greet).with(greet_again).with(square);
    let _ = Arc::new(shop).activities();
    let _ = Payload::null();
}
