//! Replay, command matching and the workflow context, without I/O.
