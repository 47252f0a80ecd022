//! Interceptors: code of yours that sees what passes between clients, workflows and activities, to add context headers,
//! to log, to measure, to encrypt.
//!
//! | where | what | registered with |
//! |---|---|---|
//! | client | [`ClientInterceptor`]: around starts, signals, queries and updates; hears outcomes | [`Client::intercepted`](crate::Client::intercepted) |
//! | workflows | [`WorkflowInterceptor`]: what reaches the code and what leaves it | [`WorkerBuilder::intercept_workflows`](crate::WorkerBuilder::intercept_workflows) |
//! | activities | [`ActivityInterceptor`]: around every attempt | [`WorkerBuilder::intercept_activities`](crate::WorkerBuilder::intercept_activities) |
//!
//! Those that are added first are the outermost: nearest to what is sent and kept. What a client changes on its way
//! out, and a workflow on its way in, is undone by the same interceptors on the other side, in the other order.
//!
//! Context headers travel by themselves: those of a start go into the run's activities, its children and the runs that
//! follow it. So what a client's interceptor sets, an activity reads with
//! [`ActivityContext::header`](crate::ActivityContext::header), in whatever process it runs.

pub use highwater_client::intercept::{
    Asked, Call, ClientInterceptor, Next, QueryCall, SignalCall, StartCall, Started, UpdateCall,
};
pub use highwater_client::update::Accepted;
pub use highwater_core::{
    activity::BoxFuture,
    intercept::{ActivityAttempt, ActivityInterceptor, Inbound, NextAttempt, Outbound, RunView, WorkflowInterceptor},
    run::Conclusion,
};
