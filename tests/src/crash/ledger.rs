//! The ledger: what ran, in which process, in order.

use std::{
    collections::BTreeMap,
    fs::OpenOptions,
    io::{self, Write},
    path::{Path, PathBuf},
};

/// A file that several processes append lines to.
#[derive(Clone, Debug)]
pub struct Ledger {
    path: PathBuf,
}

/// A line of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Entry {
    /// What was done.
    pub what: String,
    /// The worker that did it.
    pub worker: String,
    /// Whatever else there is to say.
    pub detail: String,
}

impl Ledger {
    /// The ledger in a folder.
    pub fn new(folder: &Path) -> Self {
        Self { path: folder.join("ledger") }
    }

    /// Adds a line. It is one write at the end of the file, so that lines of several processes do not mix.
    pub fn add(&self, entry: &Entry) -> io::Result<()> {
        let mut file = OpenOptions::new().create(true).append(true).open(&self.path)?;
        file.write_all(format!("{}\t{}\t{}\n", entry.what, entry.worker, entry.detail).as_bytes())
    }

    /// All lines, in order.
    pub fn entries(&self) -> Vec<Entry> {
        let text = match std::fs::read_to_string(&self.path) {
            Ok(text) => text,
            Err(error) if error.kind() == io::ErrorKind::NotFound => String::new(),
            Err(error) => panic!("the ledger cannot be read: {error}"),
        };
        // What has no end yet is being written.
        let whole = text.rfind('\n').map_or("", |end| &text[..end]);
        whole.lines().map(Entry::parse).collect()
    }

    /// How often this was done.
    pub fn count(&self, what: &str) -> usize {
        self.entries().iter().filter(|entry| entry.what == what).count()
    }

    /// The workers that did this, in order.
    pub fn workers(&self, what: &str) -> Vec<String> {
        self.entries().into_iter().filter(|entry| entry.what == what).map(|entry| entry.worker).collect()
    }

    /// How often each thing was done.
    pub fn counts(&self) -> BTreeMap<String, usize> {
        let mut counts = BTreeMap::new();
        for entry in self.entries() {
            *counts.entry(entry.what).or_default() += 1;
        }
        counts
    }
}

impl Entry {
    fn parse(line: &str) -> Self {
        let mut fields = line.split('\t').map(ToOwned::to_owned);
        let mut next = || fields.next().unwrap_or_else(|| panic!("this is no line of a ledger: {line}"));
        Self { what: next(), worker: next(), detail: next() }
    }
}
