//! As much of the Compose format as our files use, <https://github.com/compose-spec/compose-spec>.

use std::{collections::BTreeMap, fs, path::PathBuf};

use anyhow::Context;
use serde::Deserialize;

/// A Compose file.
#[derive(Debug, Deserialize)]
pub(crate) struct Compose {
    pub(crate) services: BTreeMap<String, Service>,
    #[serde(default)]
    pub(crate) volumes: BTreeMap<String, Option<()>>,
}

/// What a service is run with.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub(crate) struct Service {
    pub(crate) image: Option<String>,
    pub(crate) command: Vec<String>,
    pub(crate) environment: BTreeMap<String, String>,
    /// `what:where` or `what:where:ro`.
    pub(crate) volumes: Vec<String>,
    pub(crate) deploy: Deploy,
    pub(crate) healthcheck: Option<Healthcheck>,
    pub(crate) depends_on: BTreeMap<String, DependsOn>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub(crate) struct Deploy {
    pub(crate) replicas: Option<usize>,
}

#[derive(Debug, Deserialize)]
pub(crate) struct Healthcheck {
    pub(crate) test: Vec<String>,
}

#[derive(Debug, Deserialize)]
pub(crate) struct DependsOn {
    pub(crate) condition: String,
}

/// The folder with the files.
pub(crate) fn folder() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).with_file_name("docker")
}

impl Compose {
    pub(crate) fn read(name: &str) -> anyhow::Result<Self> {
        let path = folder().join(name);
        let text = fs::read_to_string(&path).with_context(|| path.display().to_string())?;
        serde_saphyr::from_str(&text).with_context(|| path.display().to_string())
    }

    pub(crate) fn service(&self, name: &str) -> anyhow::Result<&Service> {
        self.services.get(name).with_context(|| format!("no service {name}"))
    }
}

impl Service {
    /// What is mounted, and where.
    pub(crate) fn mounts(&self) -> impl Iterator<Item = (&str, &str)> {
        self.volumes.iter().map(|volume| {
            let mut parts = volume.split(':');
            (parts.next().unwrap_or_default(), parts.next().unwrap_or_default())
        })
    }
}
