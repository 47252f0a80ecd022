//! Runs workflows and activities.
