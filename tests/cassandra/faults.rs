//! Faults that a real node does not have on demand, put between it and the host by a proxy.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};

use host::shutdown::Shutdown;
use host::table::cassandra::{Cassandra, Level, Settings};
use host::table::{Refused, RowIndex, Rows, TableError, TableSpec, TableStore as _, TableWriter, Written};
use scylla_proxy::{
    Condition, Node, Proxy, Reaction as _, RequestOpcode, RequestReaction, RequestRule, ResponseOpcode,
    ResponseReaction, ResponseRule, RunningProxy, ShardAwareness,
};

use super::counts;
use super::keyspace::{Keyspace, wait};
use crate::support::services;

/// Rows of a write.
const ROWS: usize = 40;
/// How many of them may be on their way.
const IN_FLIGHT: usize = 8;
/// How many statements meet a fault before it is over.
const FAULTS: usize = 24;
const DEADLINE: Duration = Duration::from_secs(60);

/// A node behind a proxy, and a writer that comes by way of it.
struct Faulty {
    proxy: RunningProxy,
    keyspace: Keyspace,
    spec: Arc<TableSpec>,
    writer: Box<dyn TableWriter>,
    stamp: i64,
}

/// A statement of the writer, so many times. The driver asks for the schema by statements too, on a connection of its own.
fn statements(times: usize) -> Condition {
    let of_writer = Condition::not(Condition::ConnectionRegisteredAnyEvent);
    Condition::RequestOpcode(RequestOpcode::Execute).and(of_writer).and(Condition::TrueForLimitedTimes(times))
}

impl Faulty {
    fn new() -> Self {
        let keyspace = Keyspace::new(services::cassandra().address(), 1);
        let real: SocketAddr = keyspace.nodes.parse().expect("an address");
        // A node tells its address and not its port, so that all comes by way of the proxy.
        let proxied = SocketAddr::new(real.ip(), services::free_port());
        let node = Node::new(real, proxied, ShardAwareness::Unaware, None, None);
        let proxy = wait(Proxy::new([node]).run()).expect("a proxy");
        let settings = Settings {
            consistency: Level::One,
            timeout: Duration::from_millis(1_500),
            max_in_flight: IN_FLIGHT,
            ..Settings::new(vec![proxied.to_string()], &keyspace.name)
        };
        let store = Cassandra::new(settings, DEADLINE, Shutdown::new());
        let spec = counts::spec();
        store.ensure(&spec).expect("a table");
        let writer = store.writer(&spec).expect("a writer");
        Self { proxy, keyspace, spec, writer, stamp: 1_000 }
    }

    /// From now on requests are treated so.
    fn requests(&mut self, rules: Vec<RequestRule>) {
        self.proxy.running_nodes[0].change_request_rules(Some(rules));
    }

    /// Rows of which each says `count`.
    fn rows(&mut self, count: i64) -> Arc<Rows> {
        let rows = counts::rows(&self.spec, ROWS, count, self.stamp + 1);
        self.stamp += ROWS as i64;
        rows
    }

    /// Writes until it is done, and how often it was not yet, with the reasons.
    fn write(&mut self, rows: &Arc<Rows>) -> Result<(Vec<Refused>, Vec<String>), TableError> {
        let begin = Instant::now();
        let mut reasons = Vec::new();
        loop {
            match self.writer.write(rows, Duration::from_millis(50))? {
                Written::Done(refused) => return Ok((refused, reasons)),
                Written::Pending(why) => reasons.extend(why),
            }
            assert!(begin.elapsed() < DEADLINE, "not in time: {reasons:?}");
        }
    }

    /// Every row has this count, and its own stamp.
    #[track_caller]
    fn must_have(&self, count: i64) {
        let expected = format!("{count} | ");
        let rows = self.keyspace.rows("SELECT count, writetime(count) AS stamp FROM {ks}.counts");
        assert_eq!(rows.len(), ROWS);
        assert!(rows.iter().all(|row| row.starts_with(&expected)), "{rows:?}");
        let mut stamps: Vec<i64> = rows.iter().map(|row| row[expected.len()..].parse().expect("a stamp")).collect();
        stamps.sort_unstable();
        assert!(stamps.iter().copied().eq(self.stamp - ROWS as i64 + 1..=self.stamp), "{stamps:?}");
    }
}

#[test]
fn what_passes_is_waited_for_and_no_row_is_lost() {
    let mut faulty = Faulty::new();
    let forge = RequestReaction::forge();
    let faults = [
        ("unavailable", forge.unavailable()),
        ("overloaded", forge.overloaded()),
        ("bootstrapping", forge.is_bootstrapping()),
        ("write timeout", forge.write_timeout()),
        ("write failure", forge.write_failure()),
        ("server error", forge.server_error()),
        ("connection lost", RequestReaction::drop_connection()),
    ];
    for (count, (name, reaction)) in (1..).zip(faults) {
        faulty.requests(vec![RequestRule(statements(FAULTS), reaction)]);
        let rows = faulty.rows(count);
        let (refused, reasons) = faulty.write(&rows).unwrap_or_else(|error| panic!("{name}: {error}"));
        assert_eq!(refused, [], "{name}");
        assert!(!reasons.is_empty(), "{name}: nobody was told");
        faulty.must_have(count);
    }
}

/// The node has the rows, and nobody here knows.
#[test]
fn rows_whose_answers_are_lost_are_sent_again_as_they_were() {
    let mut faulty = Faulty::new();
    let rows = faulty.rows(1);
    assert_eq!(faulty.write(&rows).unwrap().0, []);
    let answers = Condition::ResponseOpcode(ResponseOpcode::Result)
        .and(Condition::not(Condition::ConnectionRegisteredAnyEvent))
        .and(Condition::TrueForLimitedTimes(FAULTS));
    faulty.proxy.running_nodes[0]
        .change_response_rules(Some(vec![ResponseRule(answers, ResponseReaction::drop_frame())]));
    let rows = faulty.rows(2);
    assert_eq!(faulty.write(&rows).unwrap().0, []);
    faulty.must_have(2);
}

/// Other rows are given to a writer that waits: those before are forgotten.
#[test]
fn a_writer_that_waits_says_why_and_may_be_given_other_rows() {
    let mut faulty = Faulty::new();
    faulty.requests(vec![RequestRule(statements(usize::MAX), RequestReaction::forge().overloaded())]);
    let abandoned = faulty.rows(1);
    let begin = Instant::now();
    let mut why = None;
    while why.is_none() {
        assert!(begin.elapsed() < DEADLINE);
        let begin = Instant::now();
        match faulty.writer.write(&abandoned, Duration::from_millis(200)).unwrap() {
            Written::Pending(reason) => why = reason,
            done @ Written::Done(_) => panic!("{done:?}"),
        }
        assert!(begin.elapsed() < Duration::from_secs(5), "it took longer than it was given");
    }
    faulty.proxy.running_nodes[0].change_request_rules(None);
    let rows = faulty.rows(2);
    assert_eq!(faulty.write(&rows).unwrap().0, []);
    faulty.must_have(2);
}

#[test]
fn no_more_rows_are_on_their_way_than_may_be() {
    let mut faulty = Faulty::new();
    let (seen, mut statements_seen) = tokio::sync::mpsc::unbounded_channel();
    let unanswered = RequestReaction::drop_frame().with_feedback_when_performed(seen);
    faulty.requests(vec![RequestRule(statements(usize::MAX), unanswered)]);
    let rows = faulty.rows(1);
    // Less than the driver waits for an answer.
    assert_eq!(faulty.writer.write(&rows, Duration::from_secs(1)).unwrap(), Written::Pending(None));
    let sent = std::iter::from_fn(|| statements_seen.try_recv().ok()).count();
    assert_eq!(sent, IN_FLIGHT);
    faulty.requests(vec![]);
    assert_eq!(faulty.write(&rows).unwrap().0, []);
    faulty.must_have(1);
}

#[test]
fn statements_that_a_node_has_forgotten_are_prepared_again() {
    let mut faulty = Faulty::new();
    faulty.requests(vec![RequestRule(statements(5), RequestReaction::forge().unprepared())]);
    let rows = faulty.rows(1);
    assert_eq!(faulty.write(&rows).unwrap().0, []);
    faulty.must_have(1);
}

/// As a node answers that has not heard yet of what the others know.
#[test]
fn rows_that_a_node_refuses_once_are_written() {
    let mut faulty = Faulty::new();
    faulty.requests(vec![RequestRule(statements(FAULTS), RequestReaction::forge().invalid())]);
    let rows = faulty.rows(1);
    assert_eq!(faulty.write(&rows).unwrap().0, []);
    faulty.must_have(1);
}

#[test]
fn rows_are_not_judged_before_nodes_tell_what_tables_they_know() {
    let mut faulty = Faulty::new();
    let asked = Condition::BodyContainsCaseSensitive(Box::new(*b"schema_version"));
    let of_writer = Condition::not(Condition::ConnectionRegisteredAnyEvent);
    let asked = asked.and(of_writer).and(Condition::TrueForLimitedTimes(2));
    faulty.requests(vec![
        RequestRule(asked, RequestReaction::forge().server_error()),
        RequestRule(statements(FAULTS), RequestReaction::forge().invalid()),
    ]);
    let rows = faulty.rows(1);
    let (refused, reasons) = faulty.write(&rows).unwrap();
    assert_eq!(refused, []);
    assert!(reasons.iter().any(|why| why.contains("do not agree on what tables there are")), "{reasons:?}");
    faulty.must_have(1);
}

#[test]
fn a_row_that_is_always_invalid_is_refused_and_what_is_forbidden_is_an_error() {
    let mut faulty = Faulty::new();
    let id = counts::id(ROWS - 1).into_bytes().into_boxed_slice();
    let of_one = statements(usize::MAX).and(Condition::BodyContainsCaseSensitive(id));
    faulty.requests(vec![RequestRule(of_one, RequestReaction::forge().invalid())]);
    let rows = faulty.rows(1);
    let (refused, _) = faulty.write(&rows).unwrap();
    assert!(matches!(refused[..], [Refused { row: RowIndex::Upsert(row), .. }] if row == ROWS - 1), "{refused:?}");
    for reaction in [RequestReaction::forge().unauthorized(), RequestReaction::forge().syntax_error()] {
        faulty.requests(vec![RequestRule(statements(1), reaction)]);
        let rows = faulty.rows(2);
        let error = faulty.write(&rows).unwrap_err();
        assert!(matches!(error, TableError::Store { .. }), "{error}");
    }
    let rows = faulty.rows(3);
    assert_eq!(faulty.write(&rows).unwrap().0, []);
    faulty.must_have(3);
}
