//! Modules for several hosts: the topic `<pipeline>.control`, from which every host of a pipeline takes what it is to run.
//!
//! Per stage there is one record with the key `stage/<stage>` that says what is to run, and before it the bytes of that
//! module, in pieces with the keys `piece/<stage>/<digest>/<number>`. The topic has one partition, so that what is read is
//! in the order in which it was written, and it is compacted: of each key the last record stays. A module counts when its
//! pieces are there and have its digest; pieces of two deployments at once do not mix, as their keys differ. Pieces of
//! versions before the last few are taken away by whoever deploys. Written by `host modules`, read by hosts on Kafka.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

use bespoke_record::{BatchBuilder, Full};
use bytes::Bytes;
use serde::{Deserialize, Serialize};

use super::Cause;
use super::ledger::now_ms;
use crate::log::{Commit, Log, LogError, Member};
use crate::module::digest_of;

/// Bytes of a piece at most: half of what brokers take by default.
const PIECE_BYTES: usize = 512 * 1024;
/// The pieces of so many versions of a stage stay, the one that is to run among them.
const VERSIONS: usize = 5;
/// Records that are read at once.
const TAKE_RECORDS: usize = 64;

/// What a stage is to run.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Order {
    /// The digest of the module.
    pub module: String,
    /// The name of its file.
    pub file: String,
    /// How many pieces it has.
    pub pieces: u32,
    /// What led to it.
    pub cause: Cause,
    /// When, in milliseconds since the epoch.
    pub at_ms: i64,
}

/// A module that a stage is to run.
#[derive(Clone, Debug)]
pub struct Deployed {
    /// The stage.
    pub stage: String,
    /// What was ordered.
    pub order: Order,
    /// The module, whose digest was checked.
    pub bytes: Vec<u8>,
}

/// A reader of the topic.
pub struct Control {
    log: Arc<dyn Log>,
    topic: String,
    /// Where to read on.
    at: i64,
    /// By stage and digest the pieces that were seen.
    pieces: HashMap<(String, String), BTreeMap<u32, Bytes>>,
    /// By stage the digests whose pieces are there, the newest last.
    versions: HashMap<String, Vec<String>>,
    orders: HashMap<String, Order>,
    /// The stages whose orders were read and not handed out, in the order of the topic.
    changed: Vec<String>,
}

// === impl Order ===

impl Order {
    /// One of now.
    #[must_use]
    pub fn now(bytes: &[u8], file: &str, cause: Cause) -> Self {
        let pieces = bytes.len().div_ceil(PIECE_BYTES) as u32;
        Self { module: digest_of(bytes), file: file.to_owned(), pieces, cause, at_ms: now_ms() }
    }
}

// === impl Control ===

impl Control {
    /// The topic of a pipeline.
    #[must_use]
    pub fn topic(pipeline: &str) -> String {
        format!("{pipeline}.control")
    }

    /// Nothing read yet.
    #[must_use]
    pub fn new(log: Arc<dyn Log>, topic: String) -> Self {
        let (pieces, versions, orders, changed) = Default::default();
        Self { log, topic, at: 0, pieces, versions, orders, changed }
    }

    /// Reads what is new. The modules that stages are to run from now on: of each stage the last.
    ///
    /// # Errors
    /// If the log cannot be read. What was read counts the next time.
    pub fn take(&mut self) -> Result<Vec<Deployed>, LogError> {
        let Some(info) = self.log.topic(&self.topic)? else { return Ok(Vec::new()) };
        let Some(partition) = info.partitions.first() else { return Ok(Vec::new()) };
        self.at = self.at.max(partition.start);
        while self.at < partition.end {
            let batch = self.log.read(&self.topic, partition.partition, self.at, TAKE_RECORDS)?;
            let Some(next) = batch.next_offset() else { break };
            for record in batch.iter() {
                let Some(key) = record.key().and_then(|key| std::str::from_utf8(key).ok()) else { continue };
                self.see(key, record.value());
            }
            self.at = next;
        }
        let changed = std::mem::take(&mut self.changed);
        Ok(changed.into_iter().filter_map(|stage| self.deployed(stage)).collect())
    }

    /// The bytes of a version of a stage, if the topic still has them.
    #[must_use]
    pub fn find(&self, stage: &str, digest: &str) -> Option<Vec<u8>> {
        let pieces = self.pieces.get(&(stage.to_owned(), digest.to_owned()))?;
        let bytes = pieces.values().fold(Vec::new(), |mut all, piece| {
            all.extend_from_slice(piece);
            all
        });
        (digest_of(&bytes) == digest).then_some(bytes)
    }

    /// Forgets the bytes of a version that was taken, and of those before it.
    pub fn forget(&mut self, deployed: &Deployed) {
        let Some(versions) = self.versions.get_mut(&deployed.stage) else { return };
        let taken = versions.iter().position(|digest| *digest == deployed.order.module).map_or(0, |at| at + 1);
        for digest in versions.drain(..taken) {
            self.pieces.remove(&(deployed.stage.clone(), digest));
        }
    }

    /// What a stage is to run.
    #[must_use]
    pub fn order(&self, stage: &str) -> Option<&Order> {
        self.orders.get(stage)
    }

    /// Has all hosts run a module in a stage. To be called when all that there is was taken.
    ///
    /// # Errors
    /// If the log cannot be written.
    pub fn deploy(&self, stage: &str, order: &Order, bytes: &[u8]) -> Result<(), LogError> {
        let full = |error: Full| LogError::Store { path: self.topic.clone(), source: Box::new(error) };
        let group = format!("{}.deploy", self.topic);
        let mut session = self.log.join(Member { group, topic: None, worker: 0, workers: 1 })?;
        for (number, piece) in bytes.chunks(PIECE_BYTES).enumerate() {
            let mut records = BatchBuilder::new();
            let key = piece_key(stage, &order.module, number as u32);
            records.push(Some(key.as_bytes()), Some(piece), [], order.at_ms).map_err(full)?;
            session.append(&self.topic, &records.finish())?;
        }
        let mut records = BatchBuilder::new();
        let text = serde_json::to_vec(order).unwrap_or_default();
        records.push(Some(stage_key(stage).as_bytes()), Some(&text), [], order.at_ms).map_err(full)?;
        for key in self.outdated(stage, &order.module) {
            records.push(Some(key.as_bytes()), None, [], order.at_ms).map_err(full)?;
        }
        session.append(&self.topic, &records.finish())?;
        session.commit(Commit::default())
    }

    /// The keys of the pieces that nobody needs once another version has come.
    fn outdated(&self, stage: &str, newest: &str) -> Vec<String> {
        let versions = self.versions.get(stage).map(Vec::as_slice).unwrap_or_default();
        let others: Vec<&String> = versions.iter().filter(|digest| *digest != newest).collect();
        let old = &others[..others.len().saturating_sub(VERSIONS - 1)];
        let numbers = |digest: &String| {
            let pieces = self.pieces.get(&(stage.to_owned(), digest.clone()));
            let numbers: Vec<u32> = pieces.into_iter().flat_map(BTreeMap::keys).copied().collect();
            numbers.into_iter().map(|number| piece_key(stage, digest, number)).collect::<Vec<_>>()
        };
        old.iter().flat_map(|digest| numbers(digest)).collect()
    }

    fn see(&mut self, key: &str, value: Option<&[u8]>) {
        if let Some(stage) = key.strip_prefix(STAGE) {
            match value.map(serde_json::from_slice) {
                Some(Ok(order)) => {
                    self.orders.insert(stage.to_owned(), order);
                    self.changed.retain(|other| other != stage);
                    self.changed.push(stage.to_owned());
                }
                Some(Err(error)) => tracing::warn!(topic = self.topic, key, %error, "not an order, passed over"),
                None => drop(self.orders.remove(stage)),
            }
            return;
        }
        let Some((stage, digest, number)) = piece_of(key) else {
            tracing::debug!(topic = self.topic, key, "not known, passed over");
            return;
        };
        let place = (stage.to_owned(), digest.to_owned());
        let versions = self.versions.entry(stage.to_owned()).or_default();
        match value {
            Some(piece) => {
                self.pieces.entry(place).or_default().insert(number, Bytes::copy_from_slice(piece));
                versions.retain(|known| known != digest);
                versions.push(digest.to_owned());
            }
            None => {
                self.pieces.remove(&place);
                versions.retain(|known| known != digest);
            }
        }
    }

    fn deployed(&self, stage: String) -> Option<Deployed> {
        let order = self.orders.get(&stage)?.clone();
        let bytes = self.find(&stage, &order.module);
        if bytes.is_none() {
            let module = super::director::short(&order.module);
            tracing::warn!(topic = self.topic, stage, module, "a module was deployed of which pieces are missing");
        }
        Some(Deployed { stage, order, bytes: bytes? })
    }
}

const STAGE: &str = "stage/";
const PIECE: &str = "piece/";

fn stage_key(stage: &str) -> String {
    format!("{STAGE}{stage}")
}

fn piece_key(stage: &str, digest: &str, number: u32) -> String {
    format!("{PIECE}{stage}/{digest}/{number}")
}

fn piece_of(key: &str) -> Option<(&str, &str, u32)> {
    let (rest, number) = key.strip_prefix(PIECE)?.rsplit_once('/')?;
    let (stage, digest) = rest.rsplit_once('/')?;
    Some((stage, digest, number.parse().ok()?))
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicU32, Ordering};

    use bespoke_record::Batch;

    use super::*;
    use crate::log::embedded::{EmbeddedLog, Options};
    use crate::log::{Created, NewTopic, Session, TopicInfo};

    /// A log whose third read fails.
    struct Failing {
        log: Arc<dyn Log>,
        reads: AtomicU32,
    }

    impl Log for Failing {
        fn create_topic(&self, topic: &NewTopic) -> Result<Created, LogError> {
            self.log.create_topic(topic)
        }

        fn topics(&self) -> Result<Vec<TopicInfo>, LogError> {
            self.log.topics()
        }

        fn topic(&self, name: &str) -> Result<Option<TopicInfo>, LogError> {
            self.log.topic(name)
        }

        fn committed(&self, group: &str, topic: &str) -> Result<Vec<(u32, i64)>, LogError> {
            self.log.committed(group, topic)
        }

        fn read(&self, topic: &str, partition: u32, offset: i64, max_records: usize) -> Result<Batch, LogError> {
            if self.reads.fetch_add(1, Ordering::Relaxed) == 2 {
                return Err(LogError::NoTopic(topic.to_owned()));
            }
            // One by one: a piece and its order, and a piece.
            self.log.read(topic, partition, offset, max_records.min(1))
        }

        fn join(&self, member: Member) -> Result<Box<dyn Session>, LogError> {
            self.log.join(member)
        }
    }

    fn control() -> (tempfile::TempDir, Arc<dyn Log>) {
        let folder = tempfile::tempdir().unwrap();
        let log = EmbeddedLog::open(folder.path().join("log.db"), Options::default()).unwrap();
        let topic = NewTopic { name: "p.control".to_owned(), partitions: 1, retention: Default::default() };
        log.create_topic(&topic).unwrap();
        (folder, Arc::new(log))
    }

    fn deploy(log: &Arc<dyn Log>, stage: &str, bytes: &[u8]) -> String {
        let mut control = Control::new(log.clone(), "p.control".to_owned());
        control.take().unwrap();
        let order = Order::now(bytes, "m.wasm", Cause::Deploy);
        control.deploy(stage, &order, bytes).unwrap();
        order.module
    }

    #[test]
    fn a_module_of_many_pieces_comes_whole_and_each_stage_has_one() {
        let (_folder, log) = control();
        let large: Vec<u8> = (0..PIECE_BYTES * 2 + 7).map(|at| (at % 251) as u8).collect();
        let mut reader = Control::new(log.clone(), "p.control".to_owned());
        assert!(reader.take().unwrap().is_empty());
        deploy(&log, "a", b"first");
        deploy(&log, "a", &large);
        deploy(&log, "b", b"other");
        let taken = reader.take().unwrap();
        let found: Vec<_> = taken.iter().map(|d| (d.stage.as_str(), d.bytes.as_slice(), d.order.pieces)).collect();
        assert_eq!(found, [("a", large.as_slice(), 3), ("b", b"other", 1)]);
        assert!(reader.take().unwrap().is_empty());
        // Who comes later sees the same.
        assert_eq!(Control::new(log, "p.control".to_owned()).take().unwrap().len(), 2);
    }

    /// The order of one stage was read, and then the log fails.
    #[test]
    fn an_order_that_was_read_counts_the_next_time() {
        let (_folder, log) = control();
        deploy(&log, "a", b"some");
        deploy(&log, "b", b"other");
        let failing: Arc<dyn Log> = Arc::new(Failing { log, reads: AtomicU32::new(0) });
        let mut reader = Control::new(failing, "p.control".to_owned());
        reader.take().expect_err("the third read fails");
        let taken: Vec<String> = reader.take().unwrap().into_iter().map(|deployed| deployed.stage).collect();
        assert_eq!(taken, ["a", "b"]);
        assert!(reader.take().unwrap().is_empty());
    }

    #[test]
    fn a_module_that_is_not_whole_does_not_count() {
        let (_folder, log) = control();
        let order = Order { pieces: 2, ..Order::now(b"all of it", "m.wasm", Cause::Deploy) };
        Control::new(log.clone(), "p.control".to_owned()).deploy("a", &order, b"half of it").unwrap();
        assert!(Control::new(log, "p.control".to_owned()).take().unwrap().is_empty());
    }

    #[test]
    fn some_versions_stay_and_older_ones_go() {
        let (_folder, log) = control();
        let digests: Vec<String> = (0..VERSIONS + 2).map(|n| deploy(&log, "a", n.to_string().as_bytes())).collect();
        let mut reader = Control::new(log, "p.control".to_owned());
        reader.take().unwrap();
        let has: Vec<bool> = digests.iter().map(|digest| reader.find("a", digest).is_some()).collect();
        assert_eq!(has, [false, false, true, true, true, true, true]);
        assert_eq!(reader.order("a").unwrap().module, digests[VERSIONS + 1]);
    }

    #[test]
    fn names_with_slashes_are_taken_apart() {
        assert_eq!(piece_of(&piece_key("a/b", "d", 3)), Some(("a/b", "d", 3)));
        assert_eq!([piece_of("piece/a/b"), piece_of("x"), piece_of("piece/a/b/c")], [None, None, None]);
    }
}
