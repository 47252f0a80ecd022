//! Every feature, on a real worker and a real server.

mod activities;
mod auth;
mod authoring;
mod busy_poll;
mod cancelling;
mod chains;
mod changed;
mod children;
mod composing;
mod heartbeats;
mod ids;
mod limits;
mod looking;
mod retries;
mod state;
mod timeouts;
mod updates;

use std::sync::LazyLock;

use highwater_devserver::DevServer;

static SERVER: LazyLock<DevServer> = LazyLock::new(highwater_tests::space::server);
