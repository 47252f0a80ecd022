//! Replaying histories against the code of today.

mod command;
mod history;
mod play;
mod replayer;
mod report;

pub(crate) use history::Elapsed;
pub use history::{History, ReadError};
pub(crate) use play::{Played, play_all};
pub use replayer::{ReadFileError, Replayer};
pub use report::{Replay, Replays};
