//! Activities: takes the tasks of a queue and runs them.
//!
//! - [`catalog`]: which activities this worker has.
//! - [`poller`]: takes tasks while there are free slots, and stops in an orderly way.
//! - [`attempt`]: what becomes of one task: whether it is started at all, and what follows from how it ended.
//! - [`around`]: the way of an attempt to its code, through the interceptors.
//! - [`work`]: runs the user's code under its timeouts.
//! - [`heartbeat`] and [`cancel`]: what goes back and forth while it runs.
//! - [`retry`] and [`report`]: what is sent when it ended. [`settled`]: whether a worker before has sent it.
//! - [`lease`]: for how long the task is this process's. [`state`]: what is known of it beside the task.
//! - [`trace`]: its span.
//!
//! An activity runs at least once and its first outcome counts. So a result is published first and its task
//! acknowledged after; and a process that may have lost the task to another one stays silent about the task.

mod around;
mod attempt;
mod cancel;
mod catalog;
mod heartbeat;
mod host;
mod lease;
mod poller;
mod report;
mod retry;
mod settled;
mod state;
mod trace;
mod work;

#[cfg(test)]
mod tests;

pub(crate) use catalog::ActivityCatalog;
pub use catalog::CatalogError;
pub(crate) use host::Host as ActivityHost;
pub(crate) use poller::ActivityWorker;
pub(crate) use work::caught;
