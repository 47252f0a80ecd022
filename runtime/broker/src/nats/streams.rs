//! How the streams and buckets of a namespace have to be.

use std::time::Duration;

use async_nats::jetstream::stream::{
    Config, DiscardPolicy, PersistenceMode, RetentionPolicy, StorageType, SubjectTransform,
};
use highwater_protocol::{Namespace, namespace::Settings, subject::Subjects};

use super::names;
use crate::{
    broker::{Bucket, Stream},
    rules::{INBOX_WINDOW, ttl},
};

/// How long rejected requests are kept, and how many bytes of them.
const REJECTED_AGE: Duration = Duration::from_hours(7 * 24);
const REJECTED_BYTES: i64 = 256 * 1024 * 1024;
/// How long the mark of an expired entry stays, so that watchers hear of it.
const MARKER_TTL: Duration = Duration::from_secs(5);

/// The configuration of a stream.
pub(super) fn stream(namespace: &Namespace, settings: &Settings, stream: Stream) -> Config {
    let subjects = Subjects::new(namespace, settings.partitions);
    let common = Config {
        name: names::stream(namespace, stream),
        num_replicas: settings.replicas.into(),
        storage: StorageType::File,
        retention: RetentionPolicy::Limits,
        allow_direct: true,
        allow_atomic_publish: settings.group_commit,
        ..Config::default()
    };
    match stream {
        Stream::History => Config { subjects: vec![subjects.history_all()], discard: DiscardPolicy::New, ..common },
        Stream::Inbox => Config {
            subjects: vec![subjects.inbox_all(), subjects.public_all()],
            discard: DiscardPolicy::New,
            duplicate_window: INBOX_WINDOW,
            subject_transform: Some(SubjectTransform {
                source: subjects.transform_source(),
                destination: subjects.transform_destination(),
            }),
            ..common
        },
        // Schedules refuse to discard new messages; without limits nothing is discarded.
        Stream::Tasks => Config {
            subjects: vec![subjects.task_all()],
            retention: RetentionPolicy::WorkQueue,
            discard: DiscardPolicy::Old,
            allow_message_schedules: true,
            ..common
        },
        Stream::Timers => Config {
            subjects: vec![subjects.timer_all(), subjects.fire_all()],
            discard: DiscardPolicy::Old,
            allow_message_schedules: true,
            ..common
        },
        Stream::Rejected => Config {
            subjects: vec![subjects.rejected_all()],
            discard: DiscardPolicy::Old,
            max_age: REJECTED_AGE,
            max_bytes: REJECTED_BYTES,
            allow_atomic_publish: false,
            ..common
        },
    }
}

/// The configuration of a bucket's stream, as any client of NATS makes it.
pub(super) fn bucket(namespace: &Namespace, settings: &Settings, bucket: Bucket) -> Config {
    let name = names::bucket(namespace, bucket);
    let ttl = ttl(bucket);
    Config {
        name: format!("KV_{name}"),
        subjects: vec![format!("$KV.{name}.>")],
        num_replicas: settings.replicas.into(),
        storage: StorageType::File,
        max_messages_per_subject: 1,
        discard: DiscardPolicy::New,
        max_age: ttl.unwrap_or_default(),
        duplicate_window: ttl.unwrap_or(Duration::MAX).min(Duration::from_mins(2)),
        allow_rollup: true,
        deny_delete: true,
        allow_direct: true,
        allow_atomic_publish: settings.group_commit && bucket == Bucket::Offsets,
        allow_message_ttl: ttl.is_some(),
        subject_delete_marker_ttl: ttl.is_some().then_some(MARKER_TTL),
        ..Config::default()
    }
}

/// In what the configuration that the server has differs from the wanted one, where that matters.
///
/// Limits that refuse new messages and the number of replicas are an operator's to change.
pub(super) fn difference(wanted: &Config, found: &Config) -> Option<String> {
    let unlimited = |limit: i64| if limit <= 0 { -1 } else { limit };
    let differs = |what: &str, wanted: String, found: String| {
        (wanted != found).then(|| format!("{what} is {found} and must be {wanted}"))
    };
    let flag = |what: &str, wanted: bool, found: bool| differs(what, wanted.to_string(), found.to_string());
    let debug = |what: &str, wanted: &dyn std::fmt::Debug, found: &dyn std::fmt::Debug| {
        differs(what, format!("{wanted:?}"), format!("{found:?}"))
    };
    let sorted = |config: &Config| {
        let mut subjects = config.subjects.clone();
        subjects.sort();
        subjects
    };
    let (retention, discard) = (&wanted.retention, &wanted.discard);
    // A stream that discards its oldest messages must not do so earlier than it should.
    let may_limit = wanted.discard == DiscardPolicy::New || wanted.max_bytes > 0;
    // Schedules and markers bring these with them.
    let rollup = wanted.allow_rollup || wanted.allow_message_schedules;
    debug("subjects", &sorted(wanted), &sorted(found))
        .or_else(|| debug("retention", retention, &found.retention))
        .or_else(|| debug("discard", discard, &found.discard))
        .or_else(|| debug("storage", &wanted.storage, &found.storage))
        .or_else(|| debug("subject_transform", &wanted.subject_transform, &found.subject_transform))
        .or_else(|| flag("allow_direct", true, found.allow_direct))
        .or_else(|| {
            let (wanted, found) = (wanted.allow_message_schedules, found.allow_message_schedules);
            flag("allow_msg_schedules", wanted, found)
        })
        // Batches that nobody makes do no harm.
        .or_else(|| wanted.allow_atomic_publish.then(|| flag("allow_atomic", true, found.allow_atomic_publish))?)
        .or_else(|| flag("deny_purge", false, found.deny_purge))
        .or_else(|| flag("no_ack", false, found.no_ack))
        .or_else(|| flag("sealed", false, found.sealed))
        .or_else(|| flag("allow_rollup_hdrs", rollup, found.allow_rollup))
        .or_else(|| flag("allow_msg_ttl", wanted.allow_message_ttl, found.allow_message_ttl))
        .or_else(|| debug("max_age", &wanted.max_age, &found.max_age))
        .or_else(|| {
            let per_subject = unlimited(found.max_messages_per_subject);
            debug("max_msgs_per_subject", &unlimited(wanted.max_messages_per_subject), &per_subject)
        })
        .or_else(|| {
            let window = wanted.duplicate_window;
            (!window.is_zero()).then(|| debug("duplicate_window", &window, &found.duplicate_window))?
        })
        .or_else(|| {
            let markers = wanted.subject_delete_marker_ttl.is_some();
            flag(
                "subject_delete_marker_ttl",
                markers,
                found.subject_delete_marker_ttl.is_some_and(|ttl| !ttl.is_zero()),
            )
        })
        .or_else(|| (!may_limit).then(|| debug("max_msgs", &-1, &unlimited(found.max_messages)))?)
        .or_else(|| (!may_limit).then(|| debug("max_bytes", &-1, &unlimited(found.max_bytes)))?)
        .or_else(|| {
            let asynchronous = matches!(found.persist_mode, Some(PersistenceMode::Async));
            flag("persist_mode async", false, asynchronous)
        })
        .or_else(|| flag("a mirror", false, found.mirror.is_some()))
        .or_else(|| flag("sources", false, found.sources.as_ref().is_some_and(|sources| !sources.is_empty())))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn wanted(kind: Stream) -> Config {
        stream(&Namespace::new("shop").unwrap(), &Settings::default(), kind)
    }

    #[test]
    fn what_the_server_fills_in_is_no_difference() {
        let wanted = wanted(Stream::Timers);
        let found = Config {
            max_messages: -1,
            max_bytes: -1,
            max_messages_per_subject: -1,
            max_consumers: -1,
            duplicate_window: Duration::from_mins(2),
            allow_rollup: true,
            ..wanted.clone()
        };
        assert_eq!(difference(&wanted, &found), None);
    }

    #[test]
    fn everything_that_the_guarantees_rest_on_is_checked() {
        type Change = fn(&mut Config);
        let changes: [(Stream, Change, &str); 14] = [
            (Stream::History, |c| c.max_age = Duration::from_secs(1), "max_age"),
            (Stream::History, |c| c.max_messages_per_subject = 1, "max_msgs_per_subject"),
            (Stream::History, |c| c.discard = DiscardPolicy::Old, "discard"),
            (Stream::History, |c| c.allow_direct = false, "allow_direct"),
            (Stream::History, |c| c.storage = StorageType::Memory, "storage"),
            (Stream::History, |c| c.persist_mode = Some(PersistenceMode::Async), "persist_mode"),
            (Stream::Inbox, |c| c.subject_transform = None, "subject_transform"),
            (Stream::Inbox, |c| c.duplicate_window = Duration::from_secs(1), "duplicate_window"),
            (Stream::Inbox, |c| c.deny_purge = true, "deny_purge"),
            (Stream::Inbox, |c| c.allow_rollup = true, "allow_rollup"),
            (Stream::Tasks, |c| c.retention = RetentionPolicy::Limits, "retention"),
            (Stream::Tasks, |c| c.allow_message_schedules = false, "allow_msg_schedules"),
            (Stream::Timers, |c| c.max_messages = 10, "max_msgs"),
            (Stream::Timers, |c| c.subjects.clear(), "subjects"),
        ];
        for (kind, change, named) in changes {
            let mut found = wanted(kind);
            found.allow_rollup |= found.allow_message_schedules;
            change(&mut found);
            let told = difference(&wanted(kind), &found).unwrap_or_default();
            assert!(told.starts_with(named), "{named}: {told:?}");
        }
    }

    #[test]
    fn only_a_namespace_with_group_commit_needs_streams_that_take_batches() {
        let namespace = Namespace::new("shop").unwrap();
        let grouped = Settings { group_commit: true, ..Settings::default() };
        let offsets = |settings| bucket(&namespace, settings, Bucket::Offsets);
        let told = difference(&offsets(&grouped), &offsets(&Settings::default())).unwrap();
        assert_eq!(told, "allow_atomic is false and must be true");
        for kind in [Stream::History, Stream::Inbox, Stream::Tasks, Stream::Timers] {
            let (with, mut without) = (stream(&namespace, &grouped, kind), wanted(kind));
            without.allow_rollup = without.allow_message_schedules;
            assert_eq!(difference(&with, &without).unwrap(), "allow_atomic is false and must be true");
            let found = Config { allow_rollup: with.allow_message_schedules, ..with.clone() };
            assert_eq!(difference(&wanted(kind), &found), None);
        }
    }

    #[test]
    fn an_operator_may_limit_what_refuses_new_messages() {
        let found = Config { max_bytes: 1 << 30, num_replicas: 3, ..wanted(Stream::Inbox) };
        assert_eq!(difference(&wanted(Stream::Inbox), &found), None);
    }
}
