//! Runs, played by scripts: what code asks for, what it gets, and that its history replays.

// The macros name `::highwater`.
extern crate highwater_core as highwater;

mod calls;
mod cancelling;
mod children;
mod externals;
mod failed_tasks;
mod guards;
mod info;
mod intercepting;
mod logging;
mod mismatch;
mod operations;
mod patches;
mod play;
mod queries;
mod random;
mod replaying;
mod scopes;
mod state;
mod sync;
mod tasks;
mod updates;
