//! Tests of workflows: in process, without NATS, and with virtual time.
//!
//! A [`TestEnv`] runs the worker that runs in production, on a model of the broker in memory, and its clock is tokio's,
//! paused: time passes only when nothing can run, and then as much as it takes until something can. So five days pass
//! in a millisecond. Every run is dropped from memory after each of its steps and rebuilt from its history at the next
//! one, so every test is a replay test, too.
//!
//! ```
//! use std::time::Duration;
//!
//! use highwater::{prelude::*, testing::TestEnv};
//!
//! pub struct Shop;
//!
//! #[activities]
//! impl Shop {
//!     #[activity(start_to_close = "10s")]
//!     pub async fn charge(&self, cents: u64) -> Result<String, String> {
//!         Err(format!("no bank here to take {cents} cents"))
//!     }
//! }
//!
//! #[workflow]
//! pub async fn order(ctx: Ctx, cents: u64) -> Result<String, Exit> {
//!     ctx.sleep(Duration::from_secs(5 * 24 * 3600)).await?;
//!     Ok(ctx.run(Shop::charge, cents).await?)
//! }
//!
//! #[tokio::test]
//! async fn an_order_is_charged_after_five_days() {
//!     let env = TestEnv::builder()
//!         .workflow(order)
//!         .activities(Shop)
//!         .mock(Shop::charge, |cents: u64| async move { Ok(format!("{cents} cents")) })
//!         .start()
//!         .await;
//!     let run = env.client().start(order, 500).id("order-1").await.unwrap();
//!     assert_eq!(run.result().await.unwrap(), "500 cents");
//!     assert_eq!(env.calls(Shop::charge), [500]);
//!     env.finish().await;
//! }
//! ```

#![deny(missing_docs)]

mod env;
mod mock;
mod replay;

pub use env::{HeldTime, TestEnv, TestEnvBuilder, hold_time};
pub use highwater_broker::memory::Faults;
pub use highwater_client::{HistoryFilter, ReadHistoriesError};
pub use mock::{Mock, mock, mock_with};
pub use replay::{History, ReadError, ReadFileError, Replay, Replayer, Replays};
