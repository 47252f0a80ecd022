//! The outside world of this example.

use std::{
    fs::OpenOptions,
    io::{self, Write},
    path::{Path, PathBuf},
};

/// A file that all workers append lines to.
#[derive(Clone, Debug)]
pub struct Ledger {
    path: PathBuf,
}

impl Ledger {
    /// The file that `ORDERS_LEDGER` names, or `orders-ledger.txt` in the folder for temporary files.
    pub fn from_env() -> Self {
        let path = std::env::var_os("ORDERS_LEDGER")
            .map_or_else(|| std::env::temp_dir().join("orders-ledger.txt"), PathBuf::from);
        Self { path }
    }

    /// Where it is.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Adds a line. It is one write at the end of the file, so that lines of several processes do not mix.
    pub fn append(&self, line: &str) -> io::Result<()> {
        let mut file = OpenOptions::new().create(true).append(true).open(&self.path)?;
        file.write_all(format!("{line}\n").as_bytes())
    }

    /// Whether there is a line with all of these words.
    pub fn has(&self, words: &[&str]) -> io::Result<bool> {
        let text = match std::fs::read_to_string(&self.path) {
            Ok(text) => text,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(false),
            Err(error) => return Err(error),
        };
        Ok(text.lines().any(|line| words.iter().all(|wanted| line.split_whitespace().any(|word| word == *wanted))))
    }
}
