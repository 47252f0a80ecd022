//! The `highwater` command, end to end, on a real NATS server.

mod dev;
mod support;
mod usage;
mod workflows;
