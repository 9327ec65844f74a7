//! Reading a partition from an offset on, outside of any group, by as few records at a time as is asked for.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::{Duration, Instant};

use bespoke_record::Batch;
use rdkafka::consumer::BaseConsumer;

use super::context::Context;
use super::native::{Note, Scan};

/// Records that are taken from librdkafka at once.
const TAKE_RECORDS: usize = 1_000;
/// How long to wait for records that are known to be there, before librdkafka's log is looked at.
const SLICE: Duration = Duration::from_millis(100);

/// A place in a partition.
pub(super) struct Cursor {
    scan: Scan,
    client: Arc<BaseConsumer<Context>>,
    topic: String,
    partition: u32,
    /// The next offset that is handed out.
    next: i64,
    /// Up to where all has been fetched.
    seen: i64,
    waiting: VecDeque<Batch>,
}

// === impl Cursor ===

impl Cursor {
    /// Begins at an offset that is kept, or is the end.
    pub(super) fn start(client: Arc<BaseConsumer<Context>>, topic: &str, partition: u32, offset: i64) -> Option<Self> {
        let scan = Scan::start(&client, topic, partition, offset)?;
        let topic = topic.to_owned();
        Some(Self { scan, client, topic, partition, next: offset, seen: offset, waiting: VecDeque::new() })
    }

    /// Whether it reads on there.
    pub(super) fn is_at(&self, topic: &str, partition: u32, offset: i64) -> bool {
        self.topic == topic && self.partition == partition && self.next == offset
    }

    /// Its client, to read elsewhere.
    pub(super) fn into_client(self) -> Arc<BaseConsumer<Context>> {
        self.client
    }

    /// The next records, at most so many, before the offset `end`. Empty if there are none up to there; an error tells
    /// what was seen when the time was over.
    pub(super) fn next(&mut self, max: usize, end: i64, deadline: Instant) -> Result<Batch, String> {
        let mut last = "no answer".to_owned();
        while self.waiting.is_empty() && self.seen < end {
            let _ = self.client.poll(Duration::ZERO);
            let taken = self.scan.take(TAKE_RECORDS, SLICE);
            for (_, batch) in taken.batches {
                self.seen = batch.next_offset().unwrap_or(self.seen);
                self.waiting.push_back(batch);
            }
            for (_, note) in taken.notes {
                match note {
                    Note::End(offset) => self.seen = self.seen.max(offset),
                    Note::Failed(what) => last = what,
                }
            }
            if self.waiting.is_empty() && self.seen < end && Instant::now() > deadline {
                return Err(format!("records of `{}`-{} do not come: {last}", self.topic, self.partition));
            }
        }
        let Some(batch) = self.waiting.pop_front() else { return Ok(Batch::default()) };
        let batch = if batch.len() > max {
            self.waiting.push_front(batch.slice(max..batch.len()));
            batch.slice(0..max)
        } else {
            batch
        };
        self.next = batch.next_offset().unwrap_or(self.next);
        Ok(batch)
    }
}
