//! Finds or installs a NATS server and runs it privately.
//!
//! ```no_run
//! # async fn example() -> Result<(), Box<dyn std::error::Error>> {
//! use highwater_devserver::DevServer;
//!
//! let server = DevServer::builder().start().await?;
//! println!("connect to {}", server.url());
//! server.stop().await?;
//! # Ok(())
//! # }
//! ```

mod blocking;
mod error;
mod locate;
mod server;

use blocking::blocking;

pub use error::{ControlError, StartError};
pub use locate::{LocateError, Located, Locator, Way, WayFailure};
pub use server::{Builder, DevServer};
