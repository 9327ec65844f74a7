//! The consuming half of a session: which partitions are its own, and their records.
//!
//! A partition is *arriving* when the group has given it to this member, or when a step was thrown away: its committed
//! position and state have to be found. Then it is *read*. A revocation is answered only when each partition was announced
//! as revoked and the next poll has come, so that what was read of it could be committed; until then librdkafka keeps the
//! group waiting. In between nothing is handed out, so that this takes no longer than one commit.

use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;
use std::time::{Duration, Instant};

use bespoke_record::Batch;
use bytes::Bytes;
use rdkafka::bindings::rd_kafka_t;
use rdkafka::consumer::{BaseConsumer, CommitMode, Consumer as _};
use rdkafka::error::KafkaError;
use rdkafka::{Offset, TopicPartitionList};

use self::returned::Returned;
use super::client::{has_passing_cause, is_erroneous_state, is_hopeless, is_passing};
use super::cluster::{Cluster, REQUEST};
use super::context::{Change, Context, give_up, take_up};
use super::membership::{Fenced, is_between_generations, joined};
use super::native::{Note, Queue};
use super::positions::positions_of;
use super::state;
use crate::log::{Commit, Event, LogError, Member};

mod given_up;
mod returned;

/// How long to wait for records before looking whether the group has something to say.
const SLICE: Duration = Duration::from_millis(50);
/// How long a commit may wait for a rebalance, well below the time after which the group gives a member up.
const COMMIT: Duration = Duration::from_secs(30);
/// How often the same trouble is told.
const TELL: Duration = Duration::from_secs(5);

/// The consumer of a session.
pub(super) struct Input {
    cluster: Arc<Cluster>,
    group: String,
    worker: u32,
    topic: String,
    partitions: BTreeMap<u32, Partition>,
    leaving: Option<Leaving>,
    waiting: VecDeque<(u32, Batch)>,
    told: Option<Instant>,
    /// An error that ends the session, to be told by the next poll.
    broken: Option<KafkaError>,
    fenced: Fenced,
    returned: Returned,
    // Before the consumer, whose queue it is.
    queue: Queue,
    consumer: BaseConsumer<Context>,
}

/// A partition that belongs to this member.
struct Partition {
    stage: Stage,
    /// What was noted beside the committed position.
    note: Option<String>,
    /// The state that was committed last, once it is known.
    state: Option<Option<Bytes>>,
    /// The offset after the last record that was handed out.
    next: i64,
    /// What retention took before it was read, to be told: from where to where.
    skipped: Option<(i64, i64)>,
    /// Whether it was announced as assigned, the step since then thrown away or not.
    is_told: bool,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Stage {
    /// The group has given it to this member; librdkafka waits to be told where to read.
    Given,
    /// It is being read, but from the wrong place.
    Astray,
    /// It is being read from this offset, which is to be announced.
    Placed(i64),
    Reading,
}

/// Where a partition is to be read on.
struct Place {
    /// As it was committed.
    committed: i64,
    /// Where there are records from: behind what retention took.
    at: i64,
    note: Option<String>,
}

/// A revocation that is being answered.
struct Leaving {
    partitions: Vec<u32>,
    /// Those that have been announced as assigned, and not yet as revoked.
    announce: VecDeque<u32>,
    lost: bool,
    /// Whether librdkafka waits for an answer.
    is_asked: bool,
}

// === impl Input ===

impl Input {
    pub(super) fn new(cluster: Arc<Cluster>, topic: &str, member: &Member) -> Result<Self, LogError> {
        let (queue, consumer) = joined(&cluster, topic, &member.group, member.worker)?;
        let (group, worker, topic) = (member.group.clone(), member.worker, topic.to_owned());
        let (partitions, waiting, fenced) = Default::default();
        let (leaving, told, broken) = (None, None, None);
        let returned = Returned::new(&cluster.options.properties);
        Ok(Self {
            cluster,
            group,
            worker,
            topic,
            partitions,
            leaving,
            waiting,
            told,
            broken,
            fenced,
            returned,
            queue,
            consumer,
        })
    }

    pub(super) fn topic(&self) -> &str {
        &self.topic
    }

    pub(super) fn native(&self) -> *mut rd_kafka_t {
        self.consumer.client().native_ptr()
    }

    /// As [`crate::log::Session::poll`].
    pub(super) fn poll(&mut self, max_records: usize, deadline: Instant) -> Result<Event, LogError> {
        loop {
            if let Some(event) = self.leave()? {
                return Ok(event);
            }
            self.listen(Duration::ZERO);
            if self.mend(deadline)? {
                if Instant::now() >= deadline {
                    return Ok(Event::Idle);
                }
                continue;
            }
            if self.change()? {
                continue;
            }
            self.look_around()?;
            if self.is_lost() {
                // Librdkafka is about to say so; what is still in the queue is not ours.
                self.waiting.clear();
            } else if let Some(event) = self.arrive()? {
                return Ok(event);
            } else if !self.is_arriving()
                && let Some(event) = self.records(max_records, deadline)
            {
                return Ok(event);
            } else if self.is_arriving() {
                self.pause(deadline);
            }
            if Instant::now() >= deadline {
                return Ok(Event::Idle);
            }
        }
    }

    /// As [`crate::log::Session::attend`].
    pub(super) fn attend(&mut self) -> bool {
        self.listen(Duration::ZERO);
        let is_asked = self.leaving.is_some() || self.consumer.context().has_change();
        let is_at_end = self.broken.is_some() || self.given_up().is_some();
        !is_asked && !is_at_end && !self.is_lost()
    }

    /// Commits positions outside of a transaction.
    pub(super) fn commit(&mut self, commit: &Commit<'_>) -> Result<(), LogError> {
        let list = positions_of(commit, &self.topic).map_err(|error| self.cluster.failed(error))?;
        let begin = Instant::now();
        loop {
            match self.consumer.commit(&list, CommitMode::Sync) {
                Ok(()) => return Ok(()),
                // A rebalance that leaves the partitions here: they can be committed when it is through. What it decides is
                // noted, and answered after this.
                Err(error) if is_between_generations(&error) && !self.is_lost() && begin.elapsed() < COMMIT => {
                    self.listen(SLICE);
                }
                Err(error) => return Err(self.cluster.failed(error)),
            }
        }
    }

    /// Whether all these partitions are this member's, so that their positions may be committed.
    pub(super) fn check(&self, positions: &[(u32, i64)]) -> Result<(), LogError> {
        let stranger = positions.iter().find(|(partition, _)| !self.partitions.contains_key(partition));
        match stranger {
            Some((partition, _)) => {
                let what = format!("partition {partition} of `{}` is no longer this member's", self.topic);
                Err(self.cluster.failed(what))
            }
            None if self.is_lost() => Err(self.cluster.failed("the group has given the partitions to others")),
            None => Ok(()),
        }
    }

    /// The step has happened.
    pub(super) fn committed(&mut self, states: &[(u32, Bytes)]) {
        for (number, state) in states {
            if let Some(partition) = self.partitions.get_mut(number) {
                partition.state = Some(Some(state.clone()));
            }
        }
    }

    /// The step was thrown away: all goes on from what is committed. If nobody knows whether it was, states are read
    /// again.
    pub(super) fn back(&mut self, is_known: bool) {
        self.waiting.clear();
        let leaving = self.leaving.as_ref().map_or(&[][..], |leaving| &leaving.partitions);
        for (number, partition) in &mut self.partitions {
            if !is_known {
                partition.state = None;
            }
            partition.skipped = None;
            // ## Placed, Reading => Astray
            if matches!(partition.stage, Stage::Placed(_) | Stage::Reading) && !leaving.contains(number) {
                partition.stage = Stage::Astray;
            }
        }
    }

    /// Goes on with a revocation: announces a partition or, when all are, gives them up.
    fn leave(&mut self) -> Result<Option<Event>, LogError> {
        let Some(leaving) = &mut self.leaving else { return Ok(None) };
        if let Some(partition) = leaving.announce.pop_front() {
            return Ok(Some(Event::Revoked { partition, lost: leaving.lost }));
        }
        // ## any => gone. One that was not taken up yet has to be, or librdkafka would not know what is given up.
        let (leaving, is_asked) = (std::mem::take(&mut leaving.partitions), leaving.is_asked);
        self.leaving = None;
        let gone: Vec<Option<Partition>> = leaving.iter().map(|number| self.partitions.remove(number)).collect();
        if !is_asked {
            return Ok(None);
        }
        let is_given = |gone: &Option<Partition>| gone.as_ref().is_some_and(|p| p.stage == Stage::Given);
        let given: Vec<u32> = leaving.iter().zip(&gone).filter(|(_, gone)| is_given(gone)).map(|(n, _)| *n).collect();
        let taken_up = if given.is_empty() { Ok(()) } else { take_up(&self.consumer, &self.list(&given)) };
        match taken_up.and_then(|()| give_up(&self.consumer, &self.list(&leaving))) {
            // A consumer that was given up has no partitions any more.
            Err(error) if self.given_up().is_none() => Err(self.cluster.failed(error)),
            _ => Ok(None),
        }
    }

    /// Takes note of what the group has decided. False if it has nothing to say.
    fn change(&mut self) -> Result<bool, LogError> {
        match self.consumer.context().change() {
            None => Ok(false),
            Some(Change::Assigned(partitions)) => {
                self.returned.has_joined();
                // ## gone => Given
                for partition in &partitions {
                    let (stage, is_told) = (Stage::Given, false);
                    let given = Partition { stage, note: None, state: None, next: 0, skipped: None, is_told };
                    self.partitions.insert(*partition, given);
                }
                if partitions.is_empty() {
                    // Nothing to find out, but librdkafka waits all the same.
                    take_up(&self.consumer, &TopicPartitionList::new()).map_err(|error| self.cluster.failed(error))?;
                }
                Ok(true)
            }
            Some(Change::Revoked { partitions, lost }) => {
                let is_told = |p: &&u32| self.partitions.get(p).is_some_and(|p| p.is_told);
                let announce = partitions.iter().filter(is_told).copied().collect();
                self.waiting.retain(|(partition, _)| !partitions.contains(partition));
                self.leaving = Some(Leaving { partitions, announce, lost, is_asked: true });
                Ok(true)
            }
        }
    }

    fn is_lost(&self) -> bool {
        self.consumer.assignment_lost()
    }

    /// Whether any partition waits for its place, or has something to tell before its next records.
    fn is_arriving(&self) -> bool {
        self.partitions.values().any(|partition| partition.stage != Stage::Reading || partition.skipped.is_some())
    }

    /// Finds the places of arriving partitions, and announces one that has its place, or what was skipped to get there.
    fn arrive(&mut self) -> Result<Option<Event>, LogError> {
        if let Err(error) = self.place() {
            self.trouble(&error)?;
            return Ok(None);
        }
        if let Some(event) = self.skipped() {
            return Ok(Some(event));
        }
        let placed = |(number, partition): (&u32, &Partition)| match partition.stage {
            Stage::Placed(position) => Some((*number, position)),
            _ => None,
        };
        let Some((number, position)) = self.partitions.iter().find_map(placed) else { return Ok(None) };
        let known = self.partitions.get(&number).and_then(|partition| partition.state.clone());
        // Read when the positions are settled, and so never older than they are.
        let state = match known.map_or_else(|| state::read(&self.cluster, &self.group, number), Ok) {
            Ok(state) => state,
            Err(error) if has_passing_cause(&error) => {
                self.tell(&error, "waiting for the state of a partition");
                return Ok(None);
            }
            Err(error) => return Err(error),
        };
        let note = self.partitions.get_mut(&number).and_then(|partition| partition.note.take());
        if let Some(partition) = self.partitions.get_mut(&number) {
            // ## Placed => Reading
            (partition.stage, partition.is_told) = (Stage::Reading, true);
            partition.state = Some(state.clone());
            partition.next = position;
        }
        Ok(Some(Event::Assigned { partition: number, position, note, state }))
    }

    /// Has librdkafka read arriving partitions from their committed positions on.
    fn place(&mut self) -> Result<(), KafkaError> {
        let of_stage = |stage: Stage| -> Vec<u32> {
            let of_stage = self.partitions.iter().filter(|(_, partition)| partition.stage == stage);
            of_stage.map(|(number, _)| *number).collect()
        };
        let (given, astray) = (of_stage(Stage::Given), of_stage(Stage::Astray));
        if given.is_empty() && astray.is_empty() {
            return Ok(());
        }
        // Fails while a transaction of whoever had them before is not settled.
        let positions = self.positions(&[given.clone(), astray.clone()].concat())?;
        let list = |partitions: &[u32]| {
            let mut list = TopicPartitionList::with_capacity(partitions.len());
            for number in partitions {
                list.add_partition_offset(&self.topic, *number as i32, Offset::Offset(positions[number].at))?;
            }
            Ok::<_, KafkaError>(list)
        };
        let (given_at, astray_at) = (list(&given)?, list(&astray)?);
        if !given.is_empty() {
            // ## Given => Placed
            given.iter().for_each(|partition| _ = self.queue.forward(&self.topic, *partition));
            take_up(&self.consumer, &given_at)?;
            self.placed(&given, &positions);
        }
        if !astray.is_empty() {
            // ## Astray => Placed. What was fetched is out of date from here on, also if it is in the queue.
            let sought = self.consumer.seek_partitions(astray_at, REQUEST)?;
            sought.elements().iter().try_for_each(|element| element.error())?;
            self.placed(&astray, &positions);
        }
        Ok(())
    }

    fn placed(&mut self, partitions: &[u32], places: &BTreeMap<u32, Place>) {
        for number in partitions {
            if let (Some(partition), Some(place)) = (self.partitions.get_mut(number), places.get(number)) {
                partition.stage = Stage::Placed(place.committed);
                partition.note.clone_from(&place.note);
                partition.skipped = (place.committed < place.at).then_some((place.committed, place.at));
            }
        }
    }

    /// The committed positions, or the first offset where there is none.
    fn positions(&self, partitions: &[u32]) -> Result<BTreeMap<u32, Place>, KafkaError> {
        let committed = self.consumer.committed_offsets(self.list(partitions), REQUEST)?;
        let mut positions = BTreeMap::new();
        for element in committed.elements() {
            element.error()?;
            let partition = element.partition() as u32;
            let start = self.cluster.start(&self.topic, partition)?;
            let (committed, note) = match element.offset() {
                // Without a note the metadata is empty.
                Offset::Offset(offset) => (offset, Some(element.metadata()).filter(|note| !note.is_empty())),
                _ => (start, None),
            };
            let note = note.map(str::to_owned);
            positions.insert(partition, Place { committed, at: committed.max(start), note });
        }
        Ok(positions)
    }

    /// The next records of any partition.
    fn records(&mut self, max_records: usize, deadline: Instant) -> Option<Event> {
        if self.waiting.is_empty() {
            let wait = deadline.saturating_duration_since(Instant::now()).min(SLICE);
            let taken = self.queue.take(max_records, wait);
            let is_own = |number: &u32| self.partitions.get(number).is_some_and(|p| p.stage == Stage::Reading);
            self.waiting.extend(taken.batches.into_iter().filter(|(partition, _)| is_own(partition)));
            for (partition, note) in taken.notes {
                if let Note::Failed(what) = note {
                    tracing::warn!(topic = self.topic, partition, "reading: {what}");
                }
            }
        }
        let (partition, batch) = self.waiting.pop_front()?;
        if let Some((from, to)) = self.gap(partition, &batch) {
            self.waiting.push_front((partition, batch));
            if let Some(known) = self.partitions.get_mut(&partition) {
                known.skipped = Some((from, to));
            }
            return self.skipped();
        }
        let batch = if batch.len() > max_records {
            self.waiting.push_front((partition, batch.slice(max_records..batch.len())));
            batch.slice(0..max_records)
        } else {
            batch
        };
        if let (Some(known), Some(next)) = (self.partitions.get_mut(&partition), batch.next_offset()) {
            known.next = next;
        }
        Some(Event::Records { partition, batch })
    }

    /// What retention took between the last record that was handed out and these: librdkafka then goes on at the first
    /// that is kept. Offsets that were no records are no loss.
    fn gap(&self, partition: u32, batch: &Batch) -> Option<(i64, i64)> {
        let (from, first) = (self.partitions.get(&partition)?.next, batch.entries().first()?.offset);
        let start = if first > from { self.queue.first_kept(&self.topic, partition)? } else { from };
        (start > from).then_some((from, start.min(first)))
    }

    /// Tells what was skipped in a partition that was announced.
    fn skipped(&mut self) -> Option<Event> {
        for (number, partition) in self.partitions.iter_mut().filter(|(_, partition)| partition.stage == Stage::Reading)
        {
            if let Some((from, to)) = partition.skipped.take() {
                partition.next = to;
                let (topic, partition, group) = (&*self.topic, *number, &*self.group);
                tracing::warn!(topic, partition, group, from, to, "retention removed records before they were read");
                return Some(Event::Skipped { partition, from, to });
            }
        }
        None
    }

    /// Waits for what passes by itself, and tells of it now and then.
    fn trouble(&mut self, error: &KafkaError) -> Result<(), LogError> {
        if is_hopeless(error) {
            return Err(self.cluster.failed(error.clone()));
        }
        if is_passing(error) || is_erroneous_state(error) {
            self.tell(error, "waiting for the positions of partitions");
        } else {
            tracing::debug!(%error, group = self.group, topic = self.topic, "librdkafka");
        }
        Ok(())
    }

    fn tell(&mut self, error: &dyn std::fmt::Display, what: &str) {
        if self.told.is_none_or(|told| told.elapsed() > TELL) {
            self.told = Some(Instant::now());
            tracing::info!(%error, group = self.group, topic = self.topic, "{what}");
        }
    }

    fn pause(&self, deadline: Instant) {
        std::thread::sleep(deadline.saturating_duration_since(Instant::now()).min(SLICE));
    }

    fn list(&self, partitions: &[u32]) -> TopicPartitionList {
        let mut list = TopicPartitionList::with_capacity(partitions.len());
        partitions.iter().for_each(|partition| _ = list.add_partition(&self.topic, *partition as i32));
        list
    }
}
