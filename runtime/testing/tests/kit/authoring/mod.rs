//! Everything that workflow code can do, run by a worker: every run is rebuilt for each of its steps, and replayed once
//! more at the end.

mod calls;
mod changes;
mod children;
mod limits;
mod messages;
mod runs;
mod tasks;
