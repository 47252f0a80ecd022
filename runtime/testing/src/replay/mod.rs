//! Replaying histories against the code of today.

mod command;
mod history;
mod play;
mod replayer;
mod report;

pub(crate) use history::Elapsed;
pub use history::{History, ReadError};
pub(crate) use play::play;
pub use replayer::{ReadFileError, Replayer};
pub use report::{Replay, Replays};
