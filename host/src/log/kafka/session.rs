//! The session of one worker: an [`Input`] and an [`Output`], and the order in which a step ends.

use std::sync::Arc;
use std::time::{Duration, Instant};

use bespoke_record::Batch;

use super::Guarantee;
use super::client::has_passing_cause;
use super::cluster::{Cluster, REQUEST};
use super::input::Input;
use super::output::{Output, Positions, Unready};
use super::state;
use crate::log::{Commit, Event, LogError, Member, Session};
use crate::table::TableError;

/// Longest wait of one poll: some clocks cannot add more to a point in time.
const MAX_WAIT: Duration = Duration::from_secs(24 * 60 * 60);
/// How often the same trouble is told.
const TELL: Duration = Duration::from_secs(5);
/// How long to wait between two looks.
const SLICE: Duration = Duration::from_millis(50);
/// How long to wait for a producer that was not ready.
const PAUSE: Duration = Duration::from_millis(500);

/// A worker of a stage, or a feed.
pub(super) struct KafkaSession {
    cluster: Arc<Cluster>,
    group: String,
    // Before the input, whose group its transaction names.
    output: Output,
    input: Source,
    /// Partitions of the changelog, if it has to be made.
    partitions: u32,
    told: Option<Instant>,
}

enum Source {
    /// A worker reads a topic.
    Topic(Box<Input>),
    /// A feed has the one partition 0.
    Feed(Feed),
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Feed {
    /// It may write, but others may have its partition.
    Unclaimed,
    /// The partition is its own, and has to be announced.
    Claimed,
    Announced,
}

// === impl KafkaSession ===

impl KafkaSession {
    pub(super) fn new(cluster: Arc<Cluster>, member: &Member, instance: &str) -> Result<Self, LogError> {
        let is_exact = cluster.options.guarantee == Guarantee::ExactlyOnce;
        let id = is_exact.then(|| format!("{}-{instance}-{}", member.group, member.worker));
        let (input, partitions) = match &member.topic {
            Some(topic) => {
                let partitions = cluster.partitions(topic)?.ok_or_else(|| LogError::NoTopic(topic.clone()))?;
                (Source::Topic(Box::new(Input::new(cluster.clone(), topic, member)?)), partitions)
            }
            None => (Source::Feed(Feed::Unclaimed), 1),
        };
        let output = Output::new(cluster.clone(), &member.group, id, member.worker);
        Ok(Self { cluster, group: member.group.clone(), output, input, partitions, told: None })
    }

    /// Whether the producer can be used. It is looked at before records are handed out, because here it can be waited for.
    fn is_ready(&mut self) -> Result<bool, LogError> {
        match self.output.ready(REQUEST) {
            Ok(()) => Ok(true),
            Err(Unready { error, is_final: true }) => Err(error),
            Err(Unready { error, is_final: false }) => {
                self.tell(&error, "waiting for the brokers");
                self.output.serve(PAUSE);
                Ok(false)
            }
        }
    }

    fn tell(&mut self, error: &LogError, what: &str) {
        if self.told.is_none_or(|told| told.elapsed() > TELL) {
            self.told = Some(Instant::now());
            tracing::warn!(%error, group = self.group, "{what}");
        }
    }

    fn poll_feed(&mut self, feed: Feed) -> Result<Option<Event>, LogError> {
        match feed {
            // ## Unclaimed => Claimed: the one transactional id of this feed fences whoever had it before.
            Feed::Unclaimed if self.output.is_open() => Ok(None),
            Feed::Unclaimed => {
                if self.cluster.options.guarantee == Guarantee::ExactlyOnce {
                    self.output.rename(format!("{}-feed", self.group));
                }
                self.input = Source::Feed(Feed::Claimed);
                Ok(None)
            }
            // ## Claimed => Announced
            Feed::Claimed if self.is_ready()? => {
                let state = match state::read(&self.cluster, &self.group, 0) {
                    Ok(state) => state,
                    Err(error) if has_passing_cause(&error) => {
                        self.tell(&error, "waiting for the state of a feed");
                        self.output.serve(SLICE);
                        return Ok(None);
                    }
                    Err(error) => return Err(error),
                };
                self.input = Source::Feed(Feed::Announced);
                Ok(Some(Event::Assigned { partition: 0, position: 0, note: None, state }))
            }
            Feed::Claimed | Feed::Announced => Ok(None),
        }
    }

    fn back(&mut self, is_known: bool) {
        match &mut self.input {
            Source::Topic(input) => input.back(is_known),
            // ## Announced => Claimed
            Source::Feed(feed @ Feed::Announced) => *feed = Feed::Claimed,
            Source::Feed(_) => {}
        }
    }

    fn finish(&mut self, commit: Commit<'_>) -> Result<(), LogError> {
        let Commit { positions, states, rows, .. } = commit;
        commit.check_notes()?;
        if let Some(rows) = rows.first() {
            return Err(TableError::NoTable(rows.table.name.clone()).into());
        }
        let is_exact = self.cluster.options.guarantee == Guarantee::ExactlyOnce;
        if let Source::Topic(input) = &self.input {
            input.check(positions)?;
        }
        if !is_exact && !states.is_empty() {
            // A state that is there before the records of its step takes them for written, if the step is cut off: the state
            // of a feed is its position, and a module may keep what it has answered.
            self.output.deliver()?;
        }
        match &mut self.input {
            Source::Topic(input) => {
                // Once more: that may have taken long, and who has the partition by now has a newer state.
                input.check(positions)?;
                let (consumer, topic) = (input.native(), input.topic());
                self.output.commit(Some(Positions { consumer, topic, commit: &commit }), states, self.partitions)?;
                if !is_exact && !positions.is_empty() {
                    input.commit(&commit)?;
                }
                input.committed(states);
                Ok(())
            }
            Source::Feed(_) => self.output.commit(None, states, self.partitions),
        }
    }
}

impl Session for KafkaSession {
    fn poll(&mut self, max_records: usize, timeout: Duration) -> Result<Event, LogError> {
        let deadline = Instant::now() + timeout.min(MAX_WAIT);
        self.output.serve(Duration::ZERO);
        if let Source::Feed(_) = self.input {
            loop {
                let Source::Feed(feed) = self.input else { return Ok(Event::Idle) };
                if let Some(event) = self.poll_feed(feed)? {
                    return Ok(event);
                }
                let left = deadline.saturating_duration_since(Instant::now());
                if left.is_zero() {
                    return Ok(Event::Idle);
                }
                if !matches!(self.input, Source::Feed(Feed::Claimed)) {
                    self.output.serve(left.min(SLICE));
                }
            }
        }
        if !self.output.is_open() && !self.is_ready()? {
            return Ok(Event::Idle);
        }
        match &mut self.input {
            Source::Topic(input) => input.poll(max_records.max(1), deadline),
            Source::Feed(_) => Ok(Event::Idle),
        }
    }

    fn append(&mut self, topic: &str, records: &Batch) -> Result<(), LogError> {
        self.output.append(topic, records)
    }

    fn divert(&mut self, topic: &str, letters: &Batch) -> Result<(), LogError> {
        self.output.divert(topic, letters)
    }

    fn commit(&mut self, commit: Commit<'_>) -> Result<(), LogError> {
        let done = self.finish(commit);
        if done.is_err() {
            self.output.abort();
            self.back(false);
        }
        done
    }

    fn abort(&mut self) -> Result<(), LogError> {
        self.output.abort();
        self.back(true);
        Ok(())
    }

    fn attend(&mut self) -> Result<bool, LogError> {
        self.output.serve(Duration::ZERO);
        match &mut self.input {
            Source::Topic(input) => Ok(input.attend()),
            Source::Feed(_) => Ok(true),
        }
    }

    fn max_record_bytes(&self, topic: &str) -> usize {
        self.output.max_record_bytes(topic)
    }
}
