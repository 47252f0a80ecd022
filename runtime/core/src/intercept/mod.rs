//! Interceptors of a worker: code that sees what goes into and out of all its workflows and activities.
//!
//! A worker has two kinds. [`WorkflowInterceptor`]s are called within workflow code, at replay too, so they are held to
//! the same determinism: they look at messages and change them, and do nothing else. [`ActivityInterceptor`]s stand
//! around attempts of activities and may do everything that an activity may.
//!
//! Context headers ([`Payloads`](highwater_protocol::Payloads)) need no interceptor to travel: those of a run go into
//! its activities, its children and the runs that follow it. An interceptor adds to them, or acts on them.

mod activity;
mod workflow;

pub use activity::{ActivityAttempt, ActivityInterceptor, NextAttempt};
pub(crate) use workflow::Interceptors;
pub use workflow::{Inbound, Outbound, RunView, WorkflowInterceptor};
