//! A worker's part in a swap: what it does between two steps, as its [`Director`] orders.
//!
//! At this place nothing is open, and what was committed last is what the live instances hold. So a candidate that is
//! given the committed state knows what the live version knows, and from there on it is shown the same batches. To switch
//! is to put its instances in the place of the others; the step that begins then has the fence.

use std::collections::BTreeMap;
use std::ops::Range;
use std::sync::Arc;
use std::time::{Duration, Instant};

use bespoke_boundary::{About, Exchange};
use bespoke_record::Batch;
use bytes::Bytes;

use super::Version;
use super::answered::full;
use super::candidate::{Candidate, With};
use super::instances::Instances;
use super::intake::Intake;
use super::joining::CATCH_UP_TIME;
use super::task::StageTask;
use crate::log::Session;
use crate::module::Fault;
use crate::swap::{Cause, Director, Entry, Event, Ledger, Orders, Post, Side, Tally};
use crate::worker::{Between, Stop};

/// How long records wait at most for a version that comes back.
const MAX_HOLD: Duration = Duration::from_secs(5);

/// What a worker knows of the swaps of its stage.
pub(super) struct Change {
    post: Post,
    /// What led to the live version, and the digest of the one before it.
    cause: Cause,
    from: Option<String>,
    /// The version that comes back if the live one goes wrong, or is about to.
    before: Option<Arc<Version>>,
    /// What the live one did since the last report, while it is guarded.
    guarded: Side,
    /// Whether a partition has its version, but not its fence, or a switch is due.
    is_due: bool,
    /// Since when records wait.
    held: Option<Instant>,
    /// How long the worker did nothing else for the version that is live.
    pause: Duration,
    /// What is to be written down, and what stands in the open step.
    notes: Vec<Entry>,
    written: Vec<Entry>,
}

// === impl Change ===

impl Change {
    /// A worker takes its place, and gets the version to run.
    pub fn enlist(director: &Arc<Director>) -> (Self, Arc<Version>) {
        let mut post = director.enlist();
        let orders = post.orders();
        let change = Self {
            post,
            cause: orders.cause,
            from: orders.from,
            before: None,
            guarded: Side::default(),
            // What else was ordered is done at the first boundary.
            is_due: true,
            held: None,
            pause: Duration::ZERO,
            notes: orders.notes,
            written: Vec::new(),
        };
        (change, orders.live)
    }

    /// A candidate broke.
    pub fn fails(&self, number: u64, why: &str) {
        // The live one goes on in any case.
        let _ = self.post.fails(number, why);
    }

    pub fn committed(&mut self) {
        self.written.clear();
    }

    pub fn aborted(&mut self) {
        self.written.append(&mut self.notes);
        std::mem::swap(&mut self.written, &mut self.notes);
        self.is_due = true;
        self.guarded = Side::default();
        self.held = None;
    }
}

// === impl StageTask ===

impl StageTask {
    /// Whether there is nothing to be done for a swap: one relaxed load, if there is none.
    pub(super) fn is_undisturbed(&self) -> bool {
        let change = &self.change;
        !(change.is_due || self.is_compared() || change.post.has_news() || !change.notes.is_empty())
    }

    /// Whether the next boundary is waited for: there are orders, or a candidate was tried enough. It costs as much as the
    /// live version as long as it is on trial, so that this is not left to the time of the commit.
    pub(super) fn is_awaited(&self) -> bool {
        let enough = self.change.post.trial_batches();
        let tells = |candidate: &Candidate| {
            let (told, now) = (candidate.told_batches, candidate.told_batches + candidate.tally.batches);
            !candidate.is_shadow && candidate.is_current() && told < enough && now >= enough
        };
        self.change.post.is_urged() || self.candidate.as_ref().is_some_and(tells)
    }

    /// Whether another version may soon take the place of the live one, and then perhaps a state that the live one does not
    /// take.
    pub(super) fn is_to_change(&self) -> bool {
        self.change.post.has_news() || self.candidate.as_ref().is_some_and(|candidate| !candidate.is_shadow)
    }

    /// Whether what versions do is compared.
    pub(super) fn is_compared(&self) -> bool {
        self.candidate.is_some() || self.change.before.is_some()
    }

    /// Notes how the live version did with some records, if that is compared, and how long its call took, if it ended well.
    pub(super) fn compare(&mut self, partition: u32, records: u64, errors: u64, time: Option<Duration>) {
        if let Some(candidate) = &mut self.candidate {
            candidate.live_failed_at(partition, errors);
        } else if self.change.before.is_some() {
            self.change.guarded.errors += errors;
            match time {
                Some(time) => self.change.guarded.call(records, time),
                None => self.change.guarded.records += records,
            }
        }
    }

    /// Does what is ordered.
    pub(super) fn at_boundary(
        &mut self,
        session: &mut dyn Session,
        standing: &BTreeMap<u32, i64>,
    ) -> Result<Between, Stop> {
        let begun = Instant::now();
        self.report(standing);
        let mut orders = self.change.post.orders();
        self.change.notes.append(&mut orders.notes);
        if orders.asks_state {
            let state = self.partitions.values().find_map(|known| known.committed.clone());
            self.change.post.tell_state(state);
        }
        self.change.before = orders.before.take();
        // In a search records are tried one by one; what comes back comes back because of one.
        let may_change = orders.returns || self.partitions.values().all(|known| known.search.is_none());
        self.change.is_due = !may_change;
        if may_change {
            // What is given up is not taken on by one that has not got to it.
            if orders.live.number != self.live.version.number && !orders.returns {
                self.switch(&orders, begun)?;
            }
            match &orders.trial {
                Some(version) if self.live.version.number == orders.live.number || orders.returns => {
                    self.join(session, standing, version.clone(), orders.is_shadow)?;
                }
                _ => self.candidate = None,
            }
        }
        match &self.candidate {
            // They are assigned again before any record comes. No step may begin until then: it would have records of them.
            Some(_) if orders.returns && !self.has_all(standing) => return Ok(Between::Go),
            Some(candidate) if orders.returns => {
                // Each of its instances takes no longer than its limit; from then on it waits for other workers.
                let held = candidate.has_joined.then(|| *self.change.held.get_or_insert_with(Instant::now));
                if held.is_none_or(|since| since.elapsed() < MAX_HOLD) {
                    return Ok(Between::Hold);
                }
            }
            _ => self.change.held = None,
        }
        let positions = self.fence_all(standing);
        let has_begun = self.write_notes(session)? || !positions.is_empty();
        Ok(if has_begun { Between::Begun(positions) } else { Between::Go })
    }

    /// Whether it is known of every partition where it stands: after a step was thrown away they are assigned one by one.
    fn has_all(&self, standing: &BTreeMap<u32, i64>) -> bool {
        self.partitions.keys().all(|partition| standing.contains_key(partition))
    }

    /// Tells what the versions did, and first whether the candidate has joined, so that one boundary is enough for both.
    fn report(&mut self, standing: &BTreeMap<u32, i64>) {
        self.tell_joined(standing);
        if let Some(candidate) = &mut self.candidate {
            candidate.told_batches += candidate.tally.batches;
            let tallies = [&mut candidate.tally, &mut candidate.missed].map(std::mem::take);
            if tallies != [Tally::default(); 2] {
                let differences = std::mem::take(&mut candidate.differences);
                let [tally, missed] = &tallies;
                self.change.post.report(candidate.number(), tally, missed, differences);
            }
        } else if self.change.guarded != Side::default() {
            self.change.post.guard(self.live.version.number, &std::mem::take(&mut self.change.guarded));
        }
    }

    /// Says so if the candidate knows all that the live version knows, and nobody was told yet.
    fn tell_joined(&mut self, standing: &BTreeMap<u32, i64>) {
        let has_all = self.has_all(standing);
        let Some(candidate) = self.candidate.as_mut().filter(|candidate| !candidate.has_joined) else { return };
        if has_all && self.partitions.keys().all(|partition| candidate.knows(*partition)) {
            candidate.has_joined = true;
            self.change.post.joined(candidate.number());
        }
    }

    /// Has the candidate made what it does not have yet, an instance for each partition with the committed state, and goes on
    /// with having it catch up.
    fn join(
        &mut self,
        session: &dyn Session,
        standing: &BTreeMap<u32, i64>,
        version: Arc<Version>,
        is_shadow: bool,
    ) -> Result<(), Stop> {
        let number = version.number;
        if self.candidate.as_ref().is_none_or(|candidate| candidate.number() != number) {
            self.candidate = Some(Candidate::new(&self.stage, version, is_shadow));
        }
        let Some(candidate) = &mut self.candidate else { return Ok(()) };
        candidate.is_shadow = is_shadow;
        // Others are assigned again soon, with the state that they have then.
        let here = || self.partitions.iter().filter(|(partition, _)| standing.contains_key(partition));
        let committed = here().map(|(partition, known)| (*partition, known.committed.as_ref()));
        let mut failed = candidate.join(committed).err().map(|error| format!("no thread to make it: {error}"));
        let begun = Instant::now();
        for (partition, _) in here() {
            loop {
                let with = With { stage: &self.stage, writers: &mut self.writers, session };
                match candidate.catch_up(with, *partition)? {
                    Ok(true) if begun.elapsed() < CATCH_UP_TIME => {}
                    Ok(_) => break,
                    Err(broken) if candidate.survives(&self.stage, *partition, &broken) => break,
                    Err(broken) => {
                        failed.get_or_insert(broken.fault.to_string());
                        break;
                    }
                }
            }
        }
        match failed {
            Some(why) => {
                self.candidate = None;
                self.change.fails(number, &why);
            }
            None => self.tell_joined(standing),
        }
        Ok(())
    }

    /// Puts another version in the place of the live one. If it does not come to that, this worker goes on with what it
    /// has, until the director has the others come back to it.
    fn switch(&mut self, orders: &Orders, begun: Instant) -> Result<(), Stop> {
        let number = orders.live.number;
        let (mut instances, pause) = match self.candidate.take_if(|candidate| candidate.number() == number) {
            Some(candidate) => candidate.into_instances(),
            None => (Instances::of(orders.live.clone()), Duration::ZERO),
        };
        for (partition, known) in &self.partitions {
            if let Err(fault) = instances.get(*partition, known.committed.as_ref()) {
                self.change.is_due = true;
                let is_handled = self.change.post.fails(number, &fault.to_string());
                return if is_handled { Ok(()) } else { Err(self.broken(&fault)) };
            }
        }
        let before = std::mem::replace(&mut self.live, instances).version.number;
        for known in self.partitions.values_mut() {
            known.search = None;
            // One of which no record came since it is here had the version before all the same.
            known.fenced.get_or_insert(before);
        }
        (self.change.cause, self.change.from) = (orders.cause, orders.from.clone());
        self.change.guarded = Side::default();
        self.change.is_due = true;
        self.change.post.switched(number);
        self.change.pause = pause + begun.elapsed();
        let pause_us = self.change.pause.as_micros() as u64;
        tracing::debug!(stage = self.stage.name, version = number, pause_us, "switched");
        Ok(())
    }

    /// Fences the partitions that another version had, as far as it is known where they stand. Their positions and their
    /// states, as this version keeps them, are part of the step.
    fn fence_all(&mut self, standing: &BTreeMap<u32, i64>) -> Vec<(u32, i64)> {
        let number = self.live.version.number;
        let has_other = |known: &super::task::Partition| known.fenced.is_some_and(|fenced| fenced != number);
        let mut positions = Vec::new();
        for (partition, known) in self.partitions.iter_mut().filter(|(_, known)| has_other(known)) {
            match standing.get(partition) {
                Some(position) => {
                    positions.push((*partition, *position));
                    (known.fencing, known.touched) = (Some(number), true);
                }
                // It is assigned again soon.
                None => self.change.is_due = true,
            }
        }
        if !positions.is_empty() {
            let entry = self.live_entry(self.change.cause, positions.iter().copied().collect());
            self.change.notes.push(entry);
        }
        positions
    }

    /// Fences a partition with whose records the live version begins.
    pub(super) fn fence_at(&mut self, session: &mut dyn Session, partition: u32, offset: i64) -> Result<(), Stop> {
        let number = self.live.version.number;
        let known = self.partitions.entry(partition).or_default();
        if known.fencing.or(known.fenced) == Some(number) {
            return Ok(());
        }
        let cause = if known.fenced.is_some() { self.change.cause } else { Cause::Start };
        known.fencing = Some(number);
        let entry = self.live_entry(cause, [(partition, offset)].into());
        self.change.notes.push(entry);
        self.write_notes(session).map(|_| ())
    }

    fn live_entry(&self, cause: Cause, fences: BTreeMap<u32, i64>) -> Entry {
        let module = &self.live.version.module;
        let mut entry = Entry::now(&self.stage.name, Event::Live, cause, module.digest(), module.name());
        entry.fences = fences;
        if cause != Cause::Start {
            entry.from.clone_from(&self.change.from);
            entry.pause_us = Some(self.change.pause.as_micros() as u64);
        }
        entry
    }

    /// Puts what is to be written down into the step. Whether there was anything.
    fn write_notes(&mut self, session: &mut dyn Session) -> Result<bool, Stop> {
        let mut notes = std::mem::take(&mut self.change.notes);
        let Some(topic) = self.stage.ledger.as_ref().filter(|_| !notes.is_empty()) else { return Ok(false) };
        session.append(topic, &Ledger::records(&notes).map_err(full)?)?;
        // Those of fences are made anew if the step is thrown away.
        notes.retain(|entry| entry.event != Event::Live);
        self.change.written.append(&mut notes);
        Ok(true)
    }

    /// Whether the version before the live one handles records at which the live one fails. Then it comes back, and they wait
    /// for it. Where one of them breaks both, it is no fault of the swap. One that does not take the state is asked for all the
    /// same, so that it is told why it cannot come.
    pub(super) fn turns_back(&mut self, partition: u32, batch: &Batch, range: Range<usize>, fault: &Fault) -> bool {
        let Some(before) = self.change.before.clone() else { return false };
        let known = self.partitions.get(&partition);
        let state = known.and_then(|known| known.checkpoint.clone().or_else(|| known.committed.clone()));
        if !self.handles(before, state.as_ref(), partition, batch, range) {
            return false;
        }
        let why = format!("it fails at records that the one before it handles: {fault}");
        self.change.post.fails(self.live.version.number, &why)
    }

    fn handles(
        &mut self,
        version: Arc<Version>,
        state: Option<&Bytes>,
        partition: u32,
        batch: &Batch,
        range: Range<usize>,
    ) -> bool {
        let mut exchange = Exchange::default();
        exchange.begin(&version.plan, range.len());
        let about = About { batch, topic: &self.stage.from, partition };
        // What is no record of its schema is a dead letter with any version.
        let (writers, bad) = (&mut self.writers, &mut Vec::new());
        let _ = Intake { exchange: &mut exchange, writers, plan: &version.plan, about, bad }.take(range);
        let plan = version.plan.clone();
        let mut instances = Instances::of(version);
        instances
            .get(partition, state)
            .map_or(true, |instance| instance.call(&mut exchange, &plan, batch.arena()).is_ok())
    }
}
