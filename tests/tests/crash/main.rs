//! Worker processes that are killed, frozen, stopped and started, against a real NATS server.

mod cluster_kills;
mod family;
mod handover;
mod long_runs;
mod order;
mod random_kills;
mod restarts;
mod server_kills;
mod twice;
mod zombies;

use highwater_tests::crash::World;

/// A server, and worker processes on it as they are asked for.
async fn world() -> World {
    World::start(env!("CARGO_BIN_EXE_test-worker")).await
}

/// The same with group commit.
async fn grouped_world() -> World {
    World::start_with_group_commit(env!("CARGO_BIN_EXE_test-worker")).await
}

/// A cluster of three servers, each with a copy of everything.
async fn cluster_world() -> World {
    World::start_cluster(env!("CARGO_BIN_EXE_test-worker")).await
}
