//! What the implementations of a trait promise, checked for each of them: one function a promise.
//!
//! Each promise of a log is given a way to open it: the first time it is empty, and later, when what was opened before is
//! dropped, the same log is opened again.

#![allow(clippy::unwrap_used, reason = "a promise is a test, though not marked as one")]

mod crash;
mod embedded;
pub mod kafka;
mod log;
pub mod records;
mod registry;
mod retention;
mod steps;
mod table;
pub mod table_cassandra;
mod table_refused;

/// Opens the log under test.
type Open<'a> = &'a dyn Fn() -> Box<dyn host::log::Log>;

/// A way to open a new log, and what must be kept alive meanwhile.
type Fresh = (Box<dyn Fn() -> Box<dyn host::log::Log>>, Box<dyn std::any::Any>);

/// Runs all suites over a log that `fresh` makes. When Kafka takes what retention lets go is up to its brokers, and a
/// record of the very epoch is none that librdkafka can send: its logs are run `as in kafka`.
macro_rules! log_keeps_its_promises {
    ($module:ident, $fresh:path) => {
        mod $module {
            $crate::contract::log_keeps_its_promises!(@all $fresh);
            $crate::contract::log_keeps_its_promises!(@each $fresh, log: the_epoch_is_a_time_like_any_other);
            $crate::contract::log_keeps_its_promises!(@each $fresh, retention:
                old_records_go, large_partitions_shrink, what_may_stay_stays, an_offset_is_never_given_twice,
                a_reader_that_lags_goes_on_at_the_first_record_kept, old_records_go_while_nothing_is_committed);
        }
    };
    ($module:ident, $fresh:path, as in kafka) => {
        mod $module {
            $crate::contract::log_keeps_its_promises!(@all $fresh);
        }
    };
    (@all $fresh:path) => {
        $crate::contract::log_keeps_its_promises!(@each $fresh, log:
            a_topic_is_made_once, a_topic_has_a_name_that_kafka_takes, topics_are_listed_by_name,
            what_is_not_there_is_no_topic, a_record_is_kept_as_it_is, records_come_in_order,
            reading_begins_anywhere, a_batch_has_no_more_records_than_asked_for,
            keyed_records_go_where_kafka_sends_them, records_without_a_key_go_to_changing_partitions,
            a_large_record_passes, a_large_batch_passes, a_position_comes_back_with_the_assignment,
            a_state_comes_back_with_the_assignment, a_note_is_kept_with_its_position,
            a_member_at_ease_may_wait, a_feed_has_one_partition_with_a_state,
            groups_do_not_know_each_other, workers_split_the_partitions, a_commit_wakes_who_waits,
            many_threads_lose_nothing, opening_again_keeps_all);
        $crate::contract::log_keeps_its_promises!(@each $fresh, steps:
            a_commit_of_nothing_is_fine, a_step_goes_to_all_its_topics, what_is_not_committed_is_not_seen,
            an_abort_goes_back, a_session_that_is_dropped_leaves_nothing, a_failed_commit_is_an_abort,
            a_refused_append_adds_nothing);
    };
    (@each $fresh:path, $suite:ident: $($promise:ident),* $(,)?) => {
        $(#[test]
        fn $promise() {
            let (open, _kept) = $fresh();
            $crate::contract::$suite::$promise(&*open);
        })*
    };
}
use log_keeps_its_promises;
