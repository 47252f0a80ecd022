//! Maps by workflow id.

use std::collections::HashMap;

use highwater_protocol::Key;

/// A map by the key of a workflow id, looked at several times for every event of every run. Whoever starts workflows
/// chooses the ids, so its hash has a secret of its own too, like that of the standard library, which takes several
/// times as long.
pub(crate) type ByKey<V> = HashMap<Key, V, ahash::RandomState>;
