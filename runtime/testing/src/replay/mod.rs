//! Replaying histories against the code of today.

mod history;
mod play;

pub(crate) use history::Elapsed;
pub use history::History;
pub(crate) use play::play;
