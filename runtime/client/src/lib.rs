//! Starts workflows and talks to them.
