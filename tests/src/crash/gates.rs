//! Gates: where a test holds up what runs in another process.

use std::{
    fs, io,
    path::{Path, PathBuf},
    time::Duration,
};

/// The pause between two looks at a closed gate.
const LOOK_EVERY: Duration = Duration::from_millis(10);

/// Gates by name. All are open unless closed; a closed one is a file, so that it outlives every process.
#[derive(Clone, Debug)]
pub struct Gates {
    folder: PathBuf,
}

impl Gates {
    /// The gates of a folder.
    pub fn new(folder: &Path) -> Self {
        Self { folder: folder.to_owned() }
    }

    /// Whoever comes to this gate from now on waits.
    pub fn close(&self, name: &str) {
        fs::write(self.file(name), "").expect("the folder can be written to");
    }

    /// Lets everybody through.
    pub fn open(&self, name: &str) {
        match fs::remove_file(self.file(name)) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => panic!("gate {name}: {error}"),
            _ => {}
        }
    }

    /// Waits while the gate is closed.
    pub async fn pass(&self, name: &str) {
        while self.file(name).exists() {
            tokio::time::sleep(LOOK_EVERY).await;
        }
    }

    fn file(&self, name: &str) -> PathBuf {
        self.folder.join(format!("closed {name}"))
    }
}
