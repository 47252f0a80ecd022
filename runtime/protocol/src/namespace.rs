//! The settings of a namespace. All but [`Settings::group_commit`] are fixed when it is made.

use serde::{Deserialize, Serialize};

/// The `namespace` entry of the `config` bucket.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Settings {
    /// How many partitions there are.
    pub partitions: u16,
    /// How many shards there are; 1 as yet.
    pub shards: u16,
    /// How many replicas every stream and bucket has: 1, 3 or 5.
    pub replicas: u8,
    /// The version of the stored layout.
    #[serde(default = "layout")]
    pub layout: u16,
    /// Whether what is published at the same time is stored by one write to the disk. Worth it on servers with
    /// `sync_interval: always`, and nowhere else.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub group_commit: bool,
}

/// The layout that this build writes.
pub const LAYOUT: u16 = 1;

/// The most partitions a namespace may have.
pub const PARTITIONS_MAX: u16 = 1024;

fn layout() -> u16 {
    LAYOUT
}

impl Default for Settings {
    fn default() -> Self {
        Self { partitions: 64, shards: 1, replicas: 1, layout: LAYOUT, group_commit: false }
    }
}

/// Settings that cannot be.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum InvalidSettings {
    /// The number of partitions.
    #[error("a namespace has from 1 to {PARTITIONS_MAX} partitions, not {0}")]
    Partitions(u16),
    /// The number of shards.
    #[error("only one shard is supported as yet, not {0}")]
    Shards(u16),
    /// The number of replicas.
    #[error("a namespace has 1, 3 or 5 replicas, not {0}")]
    Replicas(u8),
    /// The layout.
    #[error("the namespace has layout {0}, this build knows up to {LAYOUT}; upgrade it")]
    Layout(u16),
}

impl Settings {
    /// Checks that this build can work with the settings.
    pub fn check(&self) -> Result<(), InvalidSettings> {
        if !(1..=PARTITIONS_MAX).contains(&self.partitions) {
            return Err(InvalidSettings::Partitions(self.partitions));
        }
        if self.shards != 1 {
            return Err(InvalidSettings::Shards(self.shards));
        }
        if ![1, 3, 5].contains(&self.replicas) {
            return Err(InvalidSettings::Replicas(self.replicas));
        }
        if self.layout > LAYOUT {
            return Err(InvalidSettings::Layout(self.layout));
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn impossible_settings_are_refused() {
        assert_eq!(Settings::default().check(), Ok(()));
        assert!(Settings { partitions: 0, ..Settings::default() }.check().is_err());
        assert!(Settings { shards: 2, ..Settings::default() }.check().is_err());
        assert!(Settings { replicas: 2, ..Settings::default() }.check().is_err());
        assert!(Settings { layout: LAYOUT + 1, ..Settings::default() }.check().is_err());
    }
}
