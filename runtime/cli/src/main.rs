//! The `highwater` command.
//!
//! Results go to stdout, everything else to stderr. The exit code is 0 on success; see [`exit::Exit`] for the others.

mod commands;
mod event;
mod exit;
mod globals;
mod input;
mod output;

use std::process::ExitCode;

use clap::Parser;

use crate::{commands::Command, globals::Globals};

/// The bench measures workers as they are meant to be run; see the guide, "production".
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

/// Durable execution on NATS: run a server for development, start workflows and look at them.
#[derive(Debug, Parser)]
#[command(
    name = "highwater",
    version,
    after_help = "Exit codes: 1 the operation failed, 2 it was asked for in a wrong way, 3 there is no such workflow or \
                  namespace, 4 the workflow that was waited for failed, was cancelled or terminated, or timed out."
)]
struct Cli {
    #[command(flatten)]
    globals: Globals,
    #[command(subcommand)]
    command: Command,
}

#[tokio::main]
async fn main() -> ExitCode {
    let Cli { globals, command } = Cli::parse();
    match command.run(&globals).await {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("error: {}", output::clean_lines(&error.message));
            error.exit.into()
        }
    }
}
