use std::io::{Write, stdout};

use clap::Args;

use crate::{exit::Error, globals::Globals};

/// Print a clippy.toml with what workflow code must not call
///
/// `highwater lints > clippy.toml`, beside the Cargo.toml of a crate with workflows. `highwater::lints` in the
/// library's documentation tells how to let code off that is no workflow.
#[derive(Debug, Args)]
pub(crate) struct Lints {}

impl Lints {
    #[expect(clippy::unused_async, reason = "the signature that all commands have")]
    pub(crate) async fn run(self, _globals: &Globals) -> Result<(), Error> {
        let printed = stdout().write_all(highwater::lints::CLIPPY_TOML.as_bytes());
        printed.map_err(|error| Error::failed(format_args!("cannot print: {error}")))
    }
}
