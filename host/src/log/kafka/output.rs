//! The producing half of a session: the records of the step, and how it ends.
//!
//! The records of a step are held back until it is committed, but for large steps, whose first records go ahead while the
//! rest is made. So a small step that is thrown away leaves nothing even without transactions; and with them, they are open
//! for a short time only, as readers see nothing that comes after the beginning of one before it ends. Whatever goes wrong
//! spoils the step: nothing more of it is sent, its commit fails, and what follows begins anew.

use std::sync::Arc;
use std::time::{Duration, Instant};

use bespoke_record::{Batch, partition_of, v2};
use bytes::Bytes;
use rdkafka::bindings::rd_kafka_t;

use super::cluster::{Cluster, REFUSED, REQUEST, Topic};
use super::native::{Producer, SendError, Sending, TxnError};
use super::order::by_partition;
use super::positions::positions_of;
use super::properties::{self, BATCH_BYTES};
use super::state;
use crate::log::{Commit, LogError};

/// Bytes of a step that are held back at most.
const HELD_BYTES: usize = 1 << 20;
/// What a record that is held back takes beside its bytes.
const ENTRY_BYTES: usize = 32;
/// How long to wait for deliveries before looking whether one has failed.
const SLICE: Duration = Duration::from_millis(100);
/// Attempts at a call of a transaction that says that it may be tried again.
const MAX_ATTEMPTS: u32 = 20;
/// How long an abort may take before the producer is given up instead.
const ABORT: Duration = Duration::from_secs(10);

/// The producer of a session and its open step.
pub(super) struct Output {
    cluster: Arc<Cluster>,
    group: String,
    /// None without transactions.
    transactional_id: Option<String>,
    producer: Option<Producer>,
    /// Whether the producer has fenced those before it. Without transactions there is nothing to fence.
    initialised: bool,
    in_transaction: bool,
    held: Vec<(Arc<Topic>, Batch, Vec<u32>)>,
    held_bytes: usize,
    /// Whether anything of the step was given to the producer.
    sent: bool,
    /// Why the step cannot be committed.
    spoiled: Option<String>,
    /// Whether the producer did not take a record. It may know of fewer partitions than there are, and asks for them every
    /// five minutes by default, so that one that is made anew knows better.
    refused: bool,
    /// Bytes of a batch at most, as far as topics demand it.
    batch_bytes: usize,
    /// Since when the brokers let no transaction begin, for another reason than that they are away.
    refused_since: Option<Instant>,
    /// Which partition the next batch without keys goes to, before the remainder is taken.
    turn: u32,
    /// The counting sort's room.
    order: Vec<u32>,
}

/// Why a producer is not ready.
#[derive(Debug)]
pub(super) struct Unready {
    pub error: LogError,
    /// Whether waiting does not help.
    pub is_final: bool,
}

/// Where the positions of a step go.
pub(super) struct Positions<'a> {
    pub consumer: *mut rd_kafka_t,
    pub topic: &'a str,
    pub commit: &'a Commit<'a>,
}

// === impl Output ===

impl Output {
    pub(super) fn new(cluster: Arc<Cluster>, group: &str, transactional_id: Option<String>, first_turn: u32) -> Self {
        Self {
            cluster,
            group: group.to_owned(),
            transactional_id,
            producer: None,
            initialised: false,
            in_transaction: false,
            held: Vec::new(),
            held_bytes: 0,
            sent: false,
            spoiled: None,
            refused: false,
            batch_bytes: BATCH_BYTES,
            refused_since: None,
            turn: first_turn,
            order: Vec::new(),
        }
    }

    /// Takes another transactional id; to be done between steps. Who had it before is fenced when this one is ready.
    pub(super) fn rename(&mut self, transactional_id: String) {
        self.discard();
        self.transactional_id = Some(transactional_id);
    }

    /// Whether a step is open.
    pub(super) fn is_open(&self) -> bool {
        self.sent || self.in_transaction || !self.held.is_empty() || self.spoiled.is_some()
    }

    /// Makes the producer, and fences those before it.
    pub(super) fn ready(&mut self, timeout: Duration) -> Result<(), Unready> {
        if self.producer.is_none() {
            let config =
                properties::producer(&self.cluster.options, self.transactional_id.as_deref(), self.batch_bytes);
            let producer = Producer::new(&config);
            let failed = |error| Unready { error: self.cluster.failed(error), is_final: true };
            self.producer = Some(producer.map_err(failed)?);
            self.initialised = self.transactional_id.is_none();
        }
        if let Some(producer) = &self.producer
            && !self.initialised
        {
            // May be called again until it has worked.
            match producer.init_transactions(timeout) {
                Ok(()) => (self.initialised, self.refused_since) = (true, None),
                Err(error) if error.retriable => {
                    return Err(Unready { error: self.cluster.failed(error), is_final: false });
                }
                Err(error) => {
                    self.discard();
                    let is_final = self.refused_since.get_or_insert_with(Instant::now).elapsed() > REFUSED;
                    let id = self.transactional_id.as_deref().unwrap_or_default();
                    let what = format!(
                        "the brokers refuse transactions of the id `{id}`: {error}; this takes the rights Write and Describe \
                         on transactional ids that begin so, and a `transaction.timeout.ms` that they allow"
                    );
                    return Err(Unready { error: self.cluster.failed(what), is_final });
                }
            }
        }
        Ok(())
    }

    /// The same for as long as brokers that are away are waited for.
    fn prepared(&mut self) -> Result<(), LogError> {
        let begin = Instant::now();
        loop {
            match self.ready(REQUEST) {
                // A producer that is kept may be asked again.
                Err(Unready { error, .. }) if self.producer.is_some() && self.is_patient(begin) => {
                    tracing::warn!(%error, group = self.group, "waiting for the brokers to let a transaction begin");
                }
                done => return done.map_err(|unready| unready.error),
            }
        }
    }

    fn is_patient(&self, begin: Instant) -> bool {
        begin.elapsed() < self.cluster.options.patience && !self.cluster.options.stop.is_requested()
    }

    /// Serves delivery reports.
    pub(super) fn serve(&self, timeout: Duration) {
        match &self.producer {
            Some(producer) => producer.poll(timeout),
            None => std::thread::sleep(timeout),
        }
    }

    /// Adds all records of the batch or, on an error, none.
    pub(super) fn append(&mut self, topic: &str, batch: &Batch) -> Result<(), LogError> {
        let topic = self.cluster.writable(topic)?;
        let limit = topic.max_record_bytes;
        self.add(topic, batch, limit)
    }

    /// The same for dead letters, which may be larger.
    pub(super) fn divert(&mut self, topic: &str, letters: &Batch) -> Result<(), LogError> {
        let topic = self.cluster.writable(topic)?;
        let limit = topic.max_letter_bytes;
        self.add(topic, letters, limit)
    }

    fn add(&mut self, topic: Arc<Topic>, batch: &Batch, limit: usize) -> Result<(), LogError> {
        let mut bytes = 0;
        for (index, entry) in batch.entries().iter().enumerate() {
            let in_parts = len(entry.key) + len(entry.value);
            bytes += ENTRY_BYTES + in_parts;
            // Nearly always it is plain that it is small enough.
            if entry.headers > 0 || in_parts + v2::AROUND_RECORD_BYTES > limit {
                let bytes = v2::record_bytes(batch, index);
                if bytes > limit as u64 {
                    let bytes = usize::try_from(bytes).unwrap_or(usize::MAX);
                    return Err(LogError::TooLarge { topic: topic.name.clone(), bytes, limit });
                }
            }
        }
        self.fit(&topic);
        if batch.is_empty() || self.spoiled.is_some() {
            return Ok(());
        }
        let partitions = self.partition(&topic, batch);
        if self.sent {
            // Nothing is held any more.
            self.send(&topic, batch, &partitions);
            return Ok(());
        }
        self.held_bytes += bytes;
        self.held.push((topic, batch.clone(), partitions));
        if self.held_bytes > HELD_BYTES {
            self.send_held();
        }
        Ok(())
    }

    /// Writes what there is of the step, and waits until it is delivered.
    pub(super) fn deliver(&mut self) -> Result<(), LogError> {
        self.send_held();
        self.delivered().map_err(|what| {
            self.spoiled.get_or_insert(what.clone());
            self.cluster.failed(what)
        })
    }

    /// Has batches made of which this topic takes each. That is a setting of the producer, for all of its topics.
    fn fit(&mut self, topic: &Topic) {
        if topic.max_batch_bytes >= self.batch_bytes {
            return;
        }
        self.batch_bytes = topic.max_batch_bytes;
        if self.sent {
            self.refused = true;
            self.spoiled
                .get_or_insert(format!("topic `{}` takes smaller batches, which are made from now on", topic.name));
        } else {
            self.discard();
        }
    }

    /// Makes the step happen. Positions are part of the transaction; without one, they are the caller's to commit after
    /// this, when all is delivered.
    pub(super) fn commit(
        &mut self,
        positions: Option<Positions<'_>>,
        states: &[(u32, Bytes)],
        partitions: u32,
    ) -> Result<(), LogError> {
        let done = self.finish(positions, states, partitions);
        if let Err(what) = done {
            self.spoiled.get_or_insert(what.clone());
            self.abort();
            return Err(self.cluster.failed(what));
        }
        (self.sent, self.in_transaction) = (false, false);
        Ok(())
    }

    fn finish(
        &mut self,
        positions: Option<Positions<'_>>,
        states: &[(u32, Bytes)],
        partitions: u32,
    ) -> Result<(), String> {
        if !states.is_empty() {
            self.send_states(states, partitions).map_err(|error| error.to_string())?;
        }
        self.send_held();
        let has_positions = positions.as_ref().is_some_and(|p| !p.commit.positions.is_empty());
        if self.transactional_id.is_some() && has_positions {
            self.begin();
        }
        self.delivered()?;
        let Some(producer) = self.producer.as_ref().filter(|_| self.in_transaction) else { return Ok(()) };
        if let Some(Positions { consumer, topic, commit }) = positions.filter(|_| has_positions) {
            let list = positions_of(commit, topic).map_err(|error| error.to_string())?;
            persist(|| producer.send_offsets(consumer, &list))?;
        }
        persist(|| producer.commit())?;
        // All reports were served within the commit, which fails if one of them tells of a failure.
        Ok(())
    }

    /// Waits until what was sent of the step is delivered.
    fn delivered(&self) -> Result<(), String> {
        match (&self.spoiled, &self.producer) {
            (Some(why), _) => Err(why.clone()),
            (None, Some(producer)) if self.sent => settled(producer),
            (None, _) => Ok(()),
        }
    }

    /// Forgets the step. A producer that cannot tell how its transaction ended is given up; the one after it ends what is
    /// left.
    pub(super) fn abort(&mut self) {
        self.held.clear();
        self.held_bytes = 0;
        self.sent = false;
        let failed = self.producer.as_ref().is_some_and(|producer| producer.failure().is_some());
        let failed = std::mem::take(&mut self.refused) || failed;
        let was_spoiled = self.spoiled.take().is_some() || failed;
        if !std::mem::take(&mut self.in_transaction) {
            // Without a transaction what was sent stays sent. A producer that has failed is not to be trusted again.
            if was_spoiled {
                self.discard();
            }
            return;
        }
        let Some(producer) = &self.producer else { return };
        let why = match producer.abort(ABORT) {
            // What it has not delivered has failed by that.
            Ok(()) if !failed => return producer.forgive(),
            Ok(()) => "it has failed to take or to deliver a record".to_owned(),
            Err(error) => error.to_string(),
        };
        tracing::debug!(why, group = self.group, "the producer is given up");
        self.discard();
    }

    /// Bytes of the largest record that a topic takes.
    pub(super) fn max_record_bytes(&self, topic: &str) -> usize {
        let of_client = properties::max_record_bytes(&self.cluster.options.properties);
        self.cluster.writable(topic).map_or(of_client, |topic| topic.max_record_bytes)
    }

    fn discard(&mut self) {
        (self.producer, self.initialised, self.in_transaction) = (None, false, false);
    }

    /// The partition of each record.
    fn partition(&mut self, topic: &Topic, batch: &Batch) -> Vec<u32> {
        let count = topic.partitions.max(1);
        let unkeyed = self.turn % count;
        let mut used_unkeyed = false;
        let mut of = |key: Option<bespoke_record::Span>| match key {
            Some(key) => partition_of(key.of(batch.arena()), count),
            None => {
                used_unkeyed = true;
                unkeyed
            }
        };
        let partitions = batch.entries().iter().map(|entry| of(entry.key)).collect();
        if used_unkeyed {
            self.turn = self.turn.wrapping_add(1);
        }
        partitions
    }

    fn send_states(&mut self, states: &[(u32, Bytes)], partitions: u32) -> Result<(), LogError> {
        state::ensure(&self.cluster, &self.group, partitions)?;
        let topic = self.cluster.writable(&state::topic_of(&self.group))?;
        self.fit(&topic);
        let (records, homes) = state::records(states, topic.partitions).map_err(|error| self.cluster.failed(error))?;
        for index in 0..records.len() {
            let bytes = v2::record_bytes(&records, index) as usize;
            if bytes > topic.max_record_bytes {
                return Err(LogError::TooLarge { topic: topic.name.clone(), bytes, limit: topic.max_record_bytes });
            }
        }
        self.send(&topic, &records, &homes);
        Ok(())
    }

    fn send_held(&mut self) {
        self.held_bytes = 0;
        for (topic, batch, partitions) in std::mem::take(&mut self.held) {
            self.send(&topic, &batch, &partitions);
        }
    }

    /// Begins a transaction if none is open, or spoils the step.
    fn begin(&mut self) {
        if self.in_transaction || self.spoiled.is_some() {
            return;
        }
        if let Err(error) = self.prepared() {
            self.spoiled = Some(error.to_string());
            return;
        }
        match self.producer.as_ref().map_or(Ok(()), Producer::begin) {
            Ok(()) => self.in_transaction = true,
            Err(error) => {
                self.spoiled = Some(error.to_string());
                self.discard();
            }
        }
    }

    /// Gives the records to the producer, those of each partition together: librdkafka walks lists of messages by
    /// partition, and walks them at half the cost if they were made in that order.
    fn send(&mut self, topic: &Topic, batch: &Batch, partitions: &[u32]) {
        if self.transactional_id.is_some() {
            self.begin();
        } else if let Err(unready) = self.ready(REQUEST) {
            self.spoiled.get_or_insert(unready.error.to_string());
        }
        let mut order = std::mem::take(&mut self.order);
        by_partition(partitions, topic.partitions, &mut order);
        if let Some(producer) = &mut self.producer
            && self.spoiled.is_none()
        {
            self.sent = true;
            if let Err(why) = send_all(producer, &topic.name, batch, partitions, &order) {
                self.spoiled = Some(format!("topic `{}`: {why}", topic.name));
                self.refused = true;
            }
            producer.poll(Duration::ZERO);
        }
        self.order = order;
    }
}

impl Drop for Output {
    fn drop(&mut self) {
        // So that nobody has to wait for the transaction to time out.
        self.abort();
    }
}

/// Sends records in this order. Waits for room as long as nothing fails; what has waited too long for its broker does.
fn send_all(
    producer: &mut Producer,
    topic: &str,
    batch: &Batch,
    partitions: &[u32],
    order: &[u32],
) -> Result<(), SendError> {
    let topic = producer.topic(topic)?;
    let mut sending = Sending::new(producer, topic, batch);
    for index in order {
        let (index, partition) = (*index as usize, partitions[*index as usize]);
        while let Err(error) = sending.send(partition, index) {
            match (error, producer.failure()) {
                (SendError::Full, None) => producer.relieved(),
                (SendError::Full, Some(why)) => return Err(SendError::Failed(why)),
                (failed, _) => return Err(failed),
            }
        }
    }
    Ok(())
}

/// Waits until all is delivered.
fn settled(producer: &Producer) -> Result<(), String> {
    let begin = Instant::now();
    let mut told = false;
    // Ends: each record is delivered or fails within `message.timeout.ms`.
    while !producer.settled(SLICE) {
        if let Some(why) = producer.failure() {
            return Err(why);
        }
        if !told && begin.elapsed() > Duration::from_secs(5) {
            told = true;
            tracing::warn!("waiting for the brokers to take records");
        }
    }
    producer.failure().map_or(Ok(()), Err)
}

/// Repeats a call of a transaction as long as it says that this may help.
fn persist(mut call: impl FnMut() -> Result<(), TxnError>) -> Result<(), String> {
    for _ in 0..MAX_ATTEMPTS {
        match call() {
            Ok(()) => return Ok(()),
            Err(error) if error.retriable && !error.requires_abort => {
                tracing::debug!(%error, "trying again");
            }
            Err(error) => return Err(error.to_string()),
        }
    }
    Err("a call that was to be tried again has failed too often".to_owned())
}

fn len(span: Option<bespoke_record::Span>) -> usize {
    span.map_or(0, |span| span.len as usize)
}
