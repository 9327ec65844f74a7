//! Whether all of a pipeline is read to its end: what `--until-end` waits for.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::{Duration, Instant};

use crate::aside::Aside;
use crate::log::{Log, LogError};

/// How often the same trouble is told.
const TELL: Duration = Duration::from_secs(5);

/// A step of the drain: a group that must have read all of a topic.
pub(super) struct Reader {
    group: String,
    topic: String,
    role: String,
    /// Positions, by partition, that are known to have a record behind them: a read is not cheap.
    unread: BTreeMap<u32, i64>,
}

/// Looks how far everyone is, beside the run: a log that is away must not keep it from being stopped.
pub(super) struct Drain {
    look: Aside<BTreeSet<String>, Result<bool, LogError>>,
    told: Option<Instant>,
}

// === impl Reader ===

impl Reader {
    pub(super) fn new(group: &str, topic: &str, role: &str) -> Self {
        let [group, topic, role] = [group, topic, role].map(str::to_owned);
        Self { group, topic, role, unread: BTreeMap::new() }
    }

    /// Whether its group has read all that the topic has.
    fn is_through(&mut self, log: &dyn Log) -> Result<bool, LogError> {
        // The ends last: whoever is at the end then was not told so too early.
        let positions = log.committed(&self.group, &self.topic)?;
        let Some(topic) = log.topic(&self.topic)? else { return Ok(true) };
        for (partition, position) in positions {
            let Some(p) = topic.partitions.iter().find(|p| p.partition == partition) else { continue };
            // Not all offsets are records: once all before the end is decided, there may be none from here on.
            // What retention took before it was read has to be told first, even if nothing is left.
            if position < p.start || position < p.end && p.decided < p.end {
                return Ok(false);
            }
            if position < p.end {
                let is_known = self.unread.get(&partition) == Some(&position);
                if is_known || !log.read(&self.topic, partition, position, 1)?.is_empty() {
                    self.unread.insert(partition, position);
                    return Ok(false);
                }
            }
        }
        Ok(true)
    }
}

// === impl Drain ===

impl Drain {
    /// Of readers in the order in which records come to them.
    pub(super) fn new(log: Arc<dyn Log>, mut readers: Vec<Reader>) -> Self {
        Self { look: Aside::new(move |failed| drained(&*log, &mut readers, &failed)), told: None }
    }

    /// Asks. `failed` are those that have ended.
    pub(super) fn ask(&mut self, failed: BTreeSet<String>) {
        self.look.ask(failed);
    }

    /// Whether everyone was through when it was asked, if that is known within this time.
    pub(super) fn is_done(&mut self, within: Duration) -> bool {
        match self.look.answer(within) {
            Some(Ok(is_done)) => {
                self.told = None;
                is_done
            }
            // The workers wait for a log that is away, or end; so does this.
            Some(Err(error)) if self.told.is_none_or(|told| told.elapsed() > TELL) => {
                self.told = Some(Instant::now());
                tracing::warn!(%error, "cannot tell whether all is read, trying again");
                false
            }
            Some(Err(_)) | None => false,
        }
    }
}

/// Whether everyone has read everything, from the first reader to the last: once a topic is read to its end by all who
/// write the next, the next grows no more. Who has failed is not waited for, not even in part, as nobody else may have the
/// partitions of a worker that has ended; nor is anyone behind it.
fn drained(log: &dyn Log, readers: &mut [Reader], failed: &BTreeSet<String>) -> Result<bool, LogError> {
    for reader in readers.iter_mut().filter(|reader| !failed.contains(&reader.role)) {
        if !reader.is_through(log)? {
            return Ok(false);
        }
    }
    Ok(true)
}
