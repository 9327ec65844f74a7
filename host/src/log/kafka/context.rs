//! What librdkafka tells a client besides records: log lines, errors, and that partitions come or go.
//!
//! A rebalance is only noted here. It is answered by the session, between two polls, when what belongs to the partitions
//! is done; librdkafka waits for that answer. Only a consumer that is being closed answers at once.

use std::collections::VecDeque;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use rdkafka::ClientContext;
use rdkafka::TopicPartitionList;
use rdkafka::config::RDKafkaLogLevel;
use rdkafka::consumer::{BaseConsumer, Consumer as _, ConsumerContext, RebalanceProtocol};
use rdkafka::error::{KafkaError, RDKafkaErrorCode};
use rdkafka::types::RDKafkaRespErr;

/// In every error of OpenSSL.
const OPENSSL: &str = "SSL routines:";

/// How long it takes librdkafka at most to be done if it does not wait for an answer.
const CLOSES: Duration = Duration::from_secs(1);
const SLICE: Duration = Duration::from_millis(5);

/// Beside each client.
#[derive(Default)]
pub(super) struct Context {
    changes: Mutex<VecDeque<Change>>,
    closing: AtomicBool,
    /// Whether the next change may be one that librdkafka, which is closing, does not wait to be answered.
    unawaited: AtomicBool,
    refusal: Arc<Refusal>,
}

/// Why brokers have nothing to do with this host, which librdkafka takes for brokers that are away: it goes on trying.
#[derive(Default)]
pub(super) struct Refusal(Mutex<Option<String>>);

/// A change of the assignment that waits for its answer.
#[derive(Debug)]
pub(super) enum Change {
    /// These partitions are to be taken.
    Assigned(Vec<u32>),
    /// These are to be given up.
    Revoked {
        /// Which.
        partitions: Vec<u32>,
        /// Others may have them already.
        lost: bool,
    },
}

// === impl Refusal ===

impl Refusal {
    /// The last one since somebody was served.
    pub(super) fn get(&self) -> Option<String> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// A broker has served this host.
    pub(super) fn is_over(&self) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).take();
    }

    fn note(&self, reason: &str) {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = Some(reason.to_owned());
    }
}

// === impl Context ===

impl Context {
    /// Of a client that notes refusals.
    pub(super) fn noting(refusal: &Arc<Refusal>) -> Self {
        Self { refusal: refusal.clone(), ..Self::default() }
    }

    /// The change that waits for its answer.
    pub(super) fn change(&self) -> Option<Change> {
        self.changes.lock().unwrap_or_else(PoisonError::into_inner).pop_front()
    }

    /// Whether one does.
    pub(super) fn has_change(&self) -> bool {
        !self.changes.lock().unwrap_or_else(PoisonError::into_inner).is_empty()
    }

    /// From now on partitions are given up as soon as that is asked for. `protocol` is that of the group.
    pub(super) fn close(&self, protocol: RebalanceProtocol) {
        self.unawaited.store(matches!(protocol, RebalanceProtocol::Eager), Ordering::Relaxed);
        self.closing.store(true, Ordering::Relaxed);
    }
}

impl ClientContext for Context {
    fn log(&self, level: RDKafkaLogLevel, facility: &str, line: &str) {
        log_line(level as i32, facility, line);
    }

    fn error(&self, error: KafkaError, reason: &str) {
        let code = error.rdkafka_error_code();
        let is_refused = matches!(code, Some(RDKafkaErrorCode::Authentication | RDKafkaErrorCode::SSL));
        // A broker that does not take a certificate says so when the handshake is over.
        if is_refused || reason.contains(OPENSSL) {
            self.refusal.note(reason);
        }
        if code == Some(RDKafkaErrorCode::AllBrokersDown) {
            // Each was told of.
            tracing::debug!(target: "librdkafka", %error, "{reason}");
            return;
        }
        error_line(&error.to_string(), reason);
    }
}

impl ConsumerContext for Context {
    fn rebalance(&self, consumer: &BaseConsumer<Self>, what: RDKafkaRespErr, list: &mut TopicPartitionList) {
        let partitions = list.elements().iter().map(|element| element.partition() as u32).collect();
        let change = if what == RDKafkaRespErr::RD_KAFKA_RESP_ERR__ASSIGN_PARTITIONS {
            Change::Assigned(partitions)
        } else {
            Change::Revoked { partitions, lost: consumer.assignment_lost() }
        };
        let closing = self.closing.load(Ordering::Relaxed);
        tracing::debug!(?change, closing, "rebalance");
        if !closing {
            self.changes.lock().unwrap_or_else(PoisonError::into_inner).push_back(change);
            return;
        }
        if self.unawaited.swap(true, Ordering::Relaxed) && is_closed_within(consumer, CLOSES) {
            return;
        }
        // What librdkafka takes each answer for by now.
        if let Err(error) = consumer.unassign() {
            tracing::debug!(%error, "rebalance while closing");
        }
    }
}

/// Whether a consumer that is being closed is so within this time.
///
/// As it closes, librdkafka revokes all partitions, also if it has just told of a rebalance that was not heard of yet. It
/// takes the first answer of either kind for one to all (`rd_kafka_cgrp_handle_assign_op`), and is done then; with the eager
/// protocol, even without one. An answer that comes to it later than that may be dropped (`rd_kafka_cgrp_op_serve`), and
/// whoever gives it waits for ever.
fn is_closed_within(consumer: &BaseConsumer<Context>, time: Duration) -> bool {
    let deadline = Instant::now() + time;
    while !consumer.closed() {
        if Instant::now() >= deadline {
            return false;
        }
        std::thread::sleep(SLICE);
    }
    true
}

/// Answers an assignment: reads these partitions from the offsets in the list on.
pub(super) fn take_up(consumer: &BaseConsumer<Context>, list: &TopicPartitionList) -> Result<(), KafkaError> {
    match consumer.rebalance_protocol() {
        RebalanceProtocol::Eager => consumer.assign(list),
        _ => consumer.incremental_assign(list),
    }
}

/// Answers a revocation: reads these partitions no more.
pub(super) fn give_up(consumer: &BaseConsumer<Context>, list: &TopicPartitionList) -> Result<(), KafkaError> {
    match consumer.rebalance_protocol() {
        RebalanceProtocol::Eager => consumer.unassign(),
        _ => consumer.incremental_unassign(list),
    }
}

/// A line of librdkafka's own log. Its notices are details to us.
pub(super) fn log_line(level: i32, facility: &str, line: &str) {
    match level {
        // It has one set of properties for consumers and producers, and warns of each that only the other uses.
        _ if facility == "CONFWARN" => tracing::debug!(target: "librdkafka", facility, "{line}"),
        // Told by errors too, and again and again while a leader or a coordinator is being found.
        _ if matches!(facility, "FAIL" | "METADATAUPDATE" | "GETPID") => {
            tracing::debug!(target: "librdkafka", facility, "{line}")
        }
        0..=3 => tracing::warn!(target: "librdkafka", facility, "{line}"),
        4 => tracing::info!(target: "librdkafka", facility, "{line}"),
        _ => tracing::debug!(target: "librdkafka", facility, "{line}"),
    }
}

/// An error that librdkafka goes on from by itself, such as a broker that is away.
pub(super) fn error_line(error: &str, reason: &str) {
    tracing::warn!(target: "librdkafka", error, "{reason}");
}
