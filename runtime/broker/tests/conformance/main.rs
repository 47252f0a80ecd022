//! What every broker does. The functions in the modules are the suite; `suite` runs each of them on every broker: on
//! NATS, on NATS with group commit, and on the model of it in memory, whose clock is virtual here.

mod kv;
mod plain;
mod publish;
mod read;
mod schedule;
mod tasks;
mod together;

use std::{sync::Arc, time::Duration};

use bytes::Bytes;
use futures_util::StreamExt;
use highwater_broker::{BoxStream, Broker, Delivered, Error, KvEvent, Message, Publish};
use highwater_protocol::{Key, WorkflowId};

/// Two processes on a namespace of their own. Tasks come back after a second or so without progress.
pub(crate) struct World {
    pub(crate) one: Arc<dyn Broker>,
    pub(crate) two: Arc<dyn Broker>,
}

/// How long anything may take before the test fails.
pub(crate) const DEADLINE: Duration = Duration::from_secs(30);

/// Waits with a deadline.
#[track_caller]
pub(crate) fn within<F: Future>(future: F) -> impl Future<Output = F::Output> {
    let caller = std::panic::Location::caller();
    async move {
        let output = tokio::time::timeout(DEADLINE, future).await;
        output.unwrap_or_else(|_| panic!("nothing within {DEADLINE:?}, awaited at {caller}"))
    }
}

pub(crate) fn message(subject: impl Into<String>, payload: &'static str) -> Publish {
    Publish { subject: subject.into(), payload: Bytes::from_static(payload.as_bytes()), ..Publish::default() }
}

pub(crate) fn key(id: &str) -> Key {
    WorkflowId::new(id).unwrap().to_key()
}

/// The next message of a reader that has more to tell.
#[track_caller]
pub(crate) fn next_message(reader: &mut BoxStream<Result<Delivered, Error>>) -> impl Future<Output = Message> {
    let next = within(reader.next());
    async move {
        match next.await {
            Some(Ok(Delivered::Message(message))) => message,
            other => panic!("not a message: {other:?}"),
        }
    }
}

#[track_caller]
pub(crate) fn caught_up(reader: &mut BoxStream<Result<Delivered, Error>>) -> impl Future<Output = ()> {
    let next = within(reader.next());
    async move { assert!(matches!(next.await, Some(Ok(Delivered::CaughtUp)))) }
}

#[track_caller]
pub(crate) fn next_event(watcher: &mut BoxStream<Result<KvEvent, Error>>) -> impl Future<Output = KvEvent> {
    let next = within(watcher.next());
    async move { next.await.expect("a watcher goes on").expect("a watcher that works") }
}

/// Runs every case on every broker.
macro_rules! suite {
    ($($module:ident: $($test:ident),+ $(,)?;)+) => {
        mod nats {
            $(mod $module {
                $(#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
                async fn $test() {
                    crate::$module::$test(crate::on_nats::world().await).await;
                })+
            })+
        }
        mod grouped {
            $(mod $module {
                $(#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
                async fn $test() {
                    crate::$module::$test(crate::on_nats::grouped_world().await).await;
                })+
            })+
        }
        mod memory {
            $(mod $module {
                $(#[tokio::test(start_paused = true)]
                async fn $test() {
                    crate::$module::$test(crate::in_memory::world()).await;
                })+
            })+
        }
    };
}

suite! {
    publish:
        a_message_is_read_back_as_it_was_stored,
        a_message_that_is_offered_is_stored_once_by_its_id,
        only_one_of_two_writers_at_one_place_wins,
        expecting_no_message_holds_for_one_only,
        messages_with_one_id_are_stored_once,
        the_order_of_calls_is_the_order_in_the_stream,
        a_message_that_is_too_large_is_refused_and_the_others_go_on,
        a_subject_that_cannot_be_sent_to_is_an_error,
        the_servers_partition_is_the_one_that_the_engine_computes,
        what_no_transform_matches_is_stored_under_its_own_subject,
        a_purge_takes_a_subject_up_to_a_sequence_and_nothing_else,
        after_a_purge_a_subject_is_as_if_it_was_never_used,
        deleting_what_is_not_there_is_no_error,
        what_is_not_there_is_none,
        the_last_message_below_a_wildcard_is_found,
        hundreds_of_reads_at_a_time_work,
        reads_of_many_are_answered_in_their_order_and_with_those_that_are_not_there,
        the_servers_time_is_that_of_its_messages,
        an_id_outlives_its_message,
        the_place_of_a_repeat_is_checked_first,
        without_its_last_message_a_subject_is_where_it_was_before,
        a_subject_that_no_stream_takes_has_nobody_to_answer,
        the_servers_headers_are_not_for_callers_to_set,
        what_is_sent_to_a_stream_is_stored_and_heard;
    together:
        hundreds_at_once_have_the_sequences_that_they_are_stored_at,
        one_conflict_among_hundreds_fails_alone,
        many_conflicts_among_hundreds_fail_alone,
        one_that_is_too_large_among_hundreds_fails_alone,
        repeats_among_hundreds_are_told_as_such,
        the_messages_of_a_subject_stay_in_order_beside_conflicts,
        steps_of_hundreds_of_histories_follow_each_other,
        hundreds_of_schedules_at_once_fire,
        hundreds_of_offsets_at_once_are_checked_each_for_itself,
        what_hundreds_of_callers_gave_up_does_no_harm;
    read:
        an_empty_stream_is_caught_up_at_once,
        a_reader_tells_what_there_is_then_that_it_caught_up_then_what_comes,
        a_reader_begins_at_its_sequence,
        a_reader_with_many_filters_reads_only_what_they_match,
        filters_that_match_nothing_are_caught_up_at_once,
        a_reader_that_is_slow_misses_nothing,
        a_stream_that_is_shorter_than_what_was_read_of_it_went_backwards,
        deleted_messages_are_no_gap;
    schedule:
        a_schedule_fires_at_its_target_and_not_early,
        a_schedule_of_the_past_fires_at_once,
        a_deleted_schedule_does_not_fire,
        a_later_attempt_becomes_a_task_and_its_schedule_is_none,
        a_schedule_fires_with_the_headers_of_its_message,
        a_schedule_is_for_streams_that_take_them_and_for_their_own_subjects;
    tasks:
        a_task_that_is_done_is_gone,
        a_task_that_is_let_go_of_is_gone_soon,
        a_task_that_comes_while_a_call_waits_is_delivered_at_once,
        no_task_within_the_wait_is_no_error,
        a_call_takes_no_more_than_it_asked_for,
        a_task_without_progress_comes_again,
        progress_keeps_a_task,
        a_task_can_be_put_off,
        two_takers_never_get_the_same_task,
        a_call_that_is_given_up_loses_nothing,
        tasks_for_a_process_that_stopped_taking_go_to_another,
        queues_are_apart,
        the_word_of_who_lost_a_task_ends_it,
        a_task_that_is_put_off_by_who_lost_it_comes_a_third_time,
        a_task_that_is_given_back_comes_at_once,
        a_deleted_task_is_not_delivered;
    kv:
        a_value_is_read_back,
        a_write_with_an_old_revision_is_refused,
        a_key_can_be_made_once,
        a_deleted_key_can_be_made_again,
        a_watcher_tells_values_then_changes,
        an_expired_entry_is_told_as_gone,
        a_list_has_every_value_and_nothing_deleted,
        an_impossible_key_is_an_error,
        an_unconditional_write_brings_a_deleted_key_back;
    plain:
        a_question_gets_its_answer,
        a_question_that_nobody_listens_to_fails_at_once,
        a_question_without_an_answer_ends_with_the_wait,
        a_subscriber_hears_everything_sent_after_it_was_made,
        inboxes_are_different,
        who_has_stopped_listening_is_nobody,
        everybody_who_listens_hears_it;
}

mod in_memory {
    use std::{sync::Arc, time::Duration};

    use highwater_broker::memory::MemoryOptions;
    use highwater_protocol::Namespace;

    use crate::World;

    pub(crate) fn world() -> World {
        let options = MemoryOptions::new(Namespace::new("test").unwrap());
        let broker = options.task_ack_wait(Duration::from_millis(1_500)).build();
        World { one: Arc::new(broker.clone()), two: Arc::new(broker) }
    }
}

mod on_nats {
    use std::{
        sync::{
            Arc, LazyLock,
            atomic::{AtomicU32, Ordering},
        },
        time::Duration,
    };

    use highwater_broker::nats::{ConnectOptions, NatsConnection};
    use highwater_devserver::DevServer;
    use highwater_protocol::{Namespace, namespace::Settings};

    use crate::World;

    /// Several, as every namespace reserves room for rejected requests, and a server has no more than its disk has.
    static SERVERS: [LazyLock<DevServer>; 4] =
        [const { LazyLock::new(|| DevServer::builder().start_blocking().unwrap()) }; 4];
    /// Those whose every write goes to the disk, for group commit.
    static CAREFUL_SERVERS: [LazyLock<DevServer>; 4] =
        [const { LazyLock::new(|| DevServer::builder().sync_always(true).start_blocking().unwrap()) }; 4];
    static NAMESPACES: AtomicU32 = AtomicU32::new(0);

    pub(crate) async fn world() -> World {
        world_on(&SERVERS, Settings::default()).await
    }

    pub(crate) async fn grouped_world() -> World {
        world_on(&CAREFUL_SERVERS, Settings { group_commit: true, ..Settings::default() }).await
    }

    async fn world_on(servers: &'static [LazyLock<DevServer>], settings: Settings) -> World {
        let number = NAMESPACES.fetch_add(1, Ordering::Relaxed);
        let server = &servers[number as usize % servers.len()];
        let url = tokio::task::spawn_blocking(|| server.url()).await.unwrap();
        let options = ConnectOptions::new(url).task_ack_wait(Duration::from_millis(1_500));
        let namespace = Namespace::new(format!("test{number}")).unwrap();
        let one = NatsConnection::connect(options.clone()).await.unwrap();
        let two = NatsConnection::connect(options).await.unwrap();
        let one = one.create_namespace(&namespace, settings).await.unwrap();
        let two = two.open_namespace(&namespace).await.unwrap();
        World { one: Arc::new(one), two: Arc::new(two) }
    }
}
