//! Which servers are new enough.

/// The oldest server that works: what schedules and transforms rest on was mended up to this one.
pub(super) const NEEDED: &str = "2.14.4";

const OLDEST: [u64; 3] = [2, 14, 4];

/// The oldest server that is known to store a batch with one write to the disk.
pub(super) const GROUP_COMMIT_NEEDED: &str = "2.15.1";

const GROUP_COMMIT_OLDEST: [u64; 3] = [2, 15, 1];

/// Whether a server that calls itself `found` is new enough. Something that is no version is not.
pub(super) fn is_new_enough(found: &str) -> bool {
    numbers(found).is_some_and(|found| found >= OLDEST)
}

/// Whether group commit gains anything on a server that calls itself `found`.
pub(super) fn has_group_commit(found: &str) -> bool {
    numbers(found).is_some_and(|found| found >= GROUP_COMMIT_OLDEST)
}

/// The first three numbers of a version; `-RC.1` and the like are ignored.
fn numbers(version: &str) -> Option<[u64; 3]> {
    let version = version.strip_prefix('v').unwrap_or(version);
    let version = version.split(['-', '+']).next()?;
    let mut parts = version.split('.').map(|part| part.parse().ok());
    Some([parts.next()??, parts.next()??, parts.next().unwrap_or(Some(0))?])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn servers_older_than_needed_are_refused() {
        for old in ["2.14.3", "2.9.25", "1.99.99", "2.14", "0.0.1", "", "nightly", "2.x.1"] {
            assert!(!is_new_enough(old), "{old:?}");
        }
        for new in ["2.14.4", "2.15.0", "2.100.0", "3.0.0-beta.1", "v2.15.1", "2.14.10-RC.1", "2.15"] {
            assert!(is_new_enough(new), "{new:?}");
        }
        assert!(is_new_enough(NEEDED));
    }

    #[test]
    fn group_commit_is_for_servers_that_gain_by_it() {
        assert!(!has_group_commit("2.14.4") && !has_group_commit("2.15.0"));
        assert!(has_group_commit(GROUP_COMMIT_NEEDED) && has_group_commit("2.16.0"));
    }
}
