//! A channel, a lock and a semaphore for the tasks of one run.
//!
//! They are for workflow code only: nothing here leaves the run's thread, and whoever waits is served in the order of
//! asking, so that a replay does the same. What other libraries have for this purpose wakes tasks in an order of its
//! own, or from other threads, and cannot be told from a wait that nothing ever ends.
//!
//! Waiting here does not end when the run is asked to cancel: it ends when another task of the run lets go or sends,
//! and those do hear of it. To give up all the same, wait with [`Ctx::timeout`](crate::Ctx::timeout) or beside
//! [`Ctx::cancelled`](crate::Ctx::cancelled).

mod channel;
mod mutex;
mod semaphore;

pub use channel::{Closed, Receive, Receiver, Sender, channel};
pub use mutex::{Lock, Mutex, MutexGuard};
pub use semaphore::{Acquire, Permit, Semaphore};
