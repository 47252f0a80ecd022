//! The attribute macros of Highwater.
