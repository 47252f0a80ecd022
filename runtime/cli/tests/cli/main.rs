//! The `highwater` command, end to end, on a real NATS server.

mod bench;
mod bench_special;
mod dev;
mod support;
mod usage;
mod workflows;
