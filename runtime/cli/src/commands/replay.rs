use std::{
    fs,
    path::PathBuf,
    process::{Command, Stdio},
};

use clap::Args;
use highwater_client::HistoryFilter;
use serde_json::Value;
use tempfile::TempDir;

use crate::{event, exit::Error, globals::Globals};

/// How much of a workflow id's key stands in the name of its file. Names end at 255 bytes.
const KEY_MAX: usize = 200;

/// Replay histories against the code of a program: which runs would its deploy break?
///
/// The program is given the files, and calls `Replayer::run_as_program` of `highwater::testing`. The exit code is 0
/// when all histories fit.
#[derive(Debug, Args)]
pub(crate) struct Replay {
    /// Files that `highwater show -o json` made, or folders of them
    #[arg(required_unless_present = "live")]
    paths: Vec<PathBuf>,
    /// The program with the workflows, and its first arguments
    #[arg(long, default_value = "cargo run --quiet --bin replay --")]
    program: String,
    /// Replay runs of the namespace, too: the latest run of every workflow id
    #[arg(long)]
    live: bool,
    /// Of those, only runs of this workflow type
    #[arg(long = "type", value_name = "TYPE", requires = "live")]
    workflow_type: Option<String>,
    /// Of those, only workflow ids that begin with this
    #[arg(long, value_name = "PREFIX", requires = "live", default_value = "")]
    id_prefix: String,
    /// Of those, only runs that have not ended
    #[arg(long, requires = "live")]
    open: bool,
}

impl Replay {
    pub(crate) async fn run(mut self, globals: &Globals) -> Result<(), Error> {
        let folder = TempDir::new().map_err(|error| Error::failed(format_args!("no place for histories: {error}")))?;
        if self.live {
            self.fetch(globals, &folder).await?;
            self.paths.push(folder.path().to_owned());
        }
        let mut words = self.program.split_whitespace();
        let program = words.next().ok_or_else(|| Error::usage("--program names no program"))?;
        let mut command = Command::new(program);
        command.args(words).args(&self.paths).stdin(Stdio::null());
        match tokio::task::spawn_blocking(move || command.status()).await {
            Ok(Ok(status)) if status.success() => Ok(()),
            Ok(Ok(_)) => Err(Error::failed("not every history fits the code")),
            Ok(Err(error)) => Err(Error::failed(format_args!("cannot run {program}: {error}"))),
            Err(error) => Err(Error::failed(error)),
        }
    }

    /// Writes the histories of the namespace's runs into a folder.
    async fn fetch(&self, globals: &Globals, folder: &TempDir) -> Result<(), Error> {
        let mut filter = HistoryFilter::new().id_prefix(&self.id_prefix);
        if let Some(name) = &self.workflow_type {
            filter = filter.workflow_type(name);
        }
        if self.open {
            filter = filter.only_open();
        }
        let histories = globals.client().await?.histories(&filter).await?;
        for (number, (id, history)) in (1..).zip(histories) {
            let json = Value::Array(history.iter().map(event::value).collect());
            // A workflow id can be anything, and its key can stand in the name of a file, as far as there is room.
            let key: String = id.to_key().as_str().chars().take(KEY_MAX).collect();
            let file = folder.path().join(format!("{key}.{number}.json"));
            fs::write(&file, json.to_string())
                .map_err(|error| Error::failed(format_args!("cannot write {}: {error}", file.display())))?;
        }
        Ok(())
    }
}
