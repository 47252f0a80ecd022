//! Finds or installs a NATS server and runs it privately.
//!
//! [`DevServer`] is a server with JetStream on a free loopback port that ends,
//! files and all, with the process that started it. [`Locator`] gets its
//! program, in the first of these ways that works:
//!
//! 1. the path in `HIGHWATER_NATS_SERVER`;
//! 2. `nats-server` on the `PATH`, when it is new enough;
//! 3. what an earlier run left in the cache folder, which is
//!    `HIGHWATER_CACHE_DIR`, or else `$XDG_CACHE_HOME/highwater`, or else
//!    `~/.cache/highwater`;
//! 4. the official release archive, checked against a digest in this source;
//!    `HIGHWATER_NATS_RELEASES` names a mirror;
//! 5. `go install` at a pinned version, when Go is present;
//! 6. on Debian and Ubuntu, the package of their newer release, unpacked from
//!    the machine's own mirror and not installed.
//!
//! A Unix system is needed to run a server: a shell stands between this
//! process and the server and watches a pipe.
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

#![deny(missing_docs)]

mod blocking;
mod error;
mod locate;
mod server;

use blocking::blocking;

pub use error::{ControlError, StartError};
pub use locate::{LocateError, Located, Locator, Way, WayFailure};
pub use server::{Builder, DevServer};
