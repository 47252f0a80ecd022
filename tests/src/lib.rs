//! Shared helpers of the end-to-end tests.

pub mod certificates;
pub mod climb;
pub mod collect;
pub mod crash;
pub mod deadline;
pub mod process;
pub mod raw_nats;
pub mod rejected;
pub mod space;
pub mod traced;
