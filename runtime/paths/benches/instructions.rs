//! How many instructions the hot paths take.
//!
//! `cargo bench -p highwater-paths --features instructions`, with valgrind and, on the path or in `GUNGRAUN_RUNNER`,
//! the `gungraun-runner` of the version that `Cargo.lock` says.

#![allow(missing_docs, clippy::unit_arg, reason = "what the macros make")]

use std::{hint::black_box, sync::Arc};

use bytes::Bytes;
use gungraun::{library_benchmark, library_benchmark_group, main};
use highwater_core::{Run, Transition, run::Registry};
use highwater_paths::{
    messages::{self, Inbound},
    runs::{self, History, Live},
};
use highwater_protocol::{
    Event, Key, QueueName, Record, WorkflowId, record::Frame, request::Request, subject::Subjects,
};

// Messages.

#[library_benchmark]
#[bench::of_a_call(messages::record())]
#[bench::bare(messages::bare_record())]
fn encode_record(record: Record) -> (Bytes, Record) {
    (black_box(&record).encode(), record)
}

#[library_benchmark]
#[bench::of_a_call(messages::record().encode())]
fn decode_record(bytes: Bytes) -> (Vec<Event>, Bytes) {
    (messages::decode(black_box(&bytes)), bytes)
}

#[library_benchmark]
#[bench::of_a_call(messages::record().encode())]
fn decode_frame(bytes: Bytes) -> (Frame, Bytes) {
    (messages::decode_frame(black_box(&bytes)), bytes)
}

#[library_benchmark]
#[bench::start(messages::subjects(), messages::start())]
#[bench::signal(messages::subjects(), messages::signal())]
#[bench::outcome(messages::subjects(), messages::outcome())]
fn parse_request(subjects: Subjects, inbound: Inbound) -> (Request, Subjects, Inbound) {
    (messages::parse(black_box(&subjects), black_box(&inbound)), subjects, inbound)
}

fn parts() -> (Subjects, QueueName, Key) {
    (messages::subjects(), QueueName::new("shop").expect("a name"), messages::key())
}

#[library_benchmark]
#[bench::of_a_call(parts())]
fn make_subjects(parts: (Subjects, QueueName, Key)) -> ([String; 3], (Subjects, QueueName, Key)) {
    (messages::make_subjects(black_box(&parts.0), &parts.1, &parts.2), parts)
}

#[library_benchmark]
#[bench::plain(WorkflowId::new("order-17-of-2026").expect("an id"))]
#[bench::escaped(WorkflowId::new("orders/17: é").expect("an id"))]
fn escape_key(id: WorkflowId) -> (Key, WorkflowId) {
    (black_box(&id).to_key(), id)
}

// Runs.

#[library_benchmark]
#[bench::noop(runs::registry(), runs::started("noop", 1))]
fn whole_run(registry: Arc<Registry>, started: Event) -> (Transition, Arc<Registry>) {
    (runs::whole(black_box(&registry), started), registry)
}

fn live(workflow_type: &str) -> Live {
    Live::at(&runs::registry(), workflow_type, 100, 20)
}

#[library_benchmark]
#[bench::step(live("steps"))]
#[bench::activity(live("calls"))]
#[bench::signal(live("signals"))]
fn transition(mut live: Live) -> (Transition, Live) {
    (black_box(&mut live).go_on(), live)
}

fn history(workflow_type: &str) -> (Arc<Registry>, History) {
    let registry = runs::registry();
    let history = Live::at(&registry, workflow_type, 2_000, 1_000).into_history();
    (registry, history)
}

#[library_benchmark]
#[bench::steps(history("steps"))]
#[bench::activities(history("calls"))]
#[bench::signals(history("signals"))]
fn replay_1000_events(history: (Arc<Registry>, History)) -> (Run, (Arc<Registry>, History)) {
    (runs::replay(black_box(&history.0), &history.1), history)
}

library_benchmark_group!(
    name = of_messages,
    benchmarks = [encode_record, decode_record, decode_frame, parse_request, make_subjects, escape_key]
);
library_benchmark_group!(name = of_runs, benchmarks = [whole_run, transition, replay_1000_events]);

main!(library_benchmark_groups = [of_messages, of_runs]);
