//! One worker's share of a stage.

use std::collections::{BTreeMap, HashMap};
use std::ops::Range;
use std::sync::Arc;
use std::time::{Duration, Instant};

use bespoke_boundary::{About, Exchange};
use bespoke_record::Batch;
use bytes::Bytes;

use super::answered::{Bad, Called, answered, full};
use super::candidate::{Candidate, Live, With};
use super::change::Change;
use super::emit::Emitter;
use super::instances::Instances;
use super::intake::Intake;
use super::search::Search;
use super::writers::Writers;
use super::{OnError, Stage};
use crate::dead_letter::{DeadLetters, Kind};
use crate::log::Session;
use crate::metrics::Counters;
use crate::module::{Fault, FaultKind};
use crate::swap::Director;
use crate::table::Rows;
use crate::worker::{Between, Flow, Stop, Task};

/// A stage's worker: instances of the module, and what is known of each partition.
pub struct StageTask {
    pub(super) stage: Arc<Stage>,
    pub(super) writers: Writers,
    counters: Arc<Counters>,
    pub(super) live: Instances,
    pub(super) candidate: Option<Candidate>,
    pub(super) change: Change,
    pub(super) partitions: HashMap<u32, Partition>,
    exchange: Exchange,
    /// Dead letters of the module's making, without a record between them that was handled.
    letters_in_a_row: u64,
    /// How many there were at the last commit.
    committed_in_a_row: u64,
    /// Why the stage must stop, once there were too many.
    halt: Option<String>,
}

/// What is known of a partition.
#[derive(Default)]
pub(super) struct Partition {
    /// The state of the last commit.
    pub committed: Option<Bytes>,
    /// A later state, of records that are done but not committed: from a search until the commit after it, because the
    /// last record of a search may break the instance.
    pub checkpoint: Option<Bytes>,
    pub search: Option<Search>,
    /// Whether its state may be another since the last commit.
    pub touched: bool,
    /// The number of the version that is written down as having it, and the same in the open step.
    pub fenced: Option<u64>,
    pub fencing: Option<u64>,
}

/// Why a call came to nothing.
enum Failed {
    /// The module, or its answer.
    Call(Fault),
    /// A schema of the records cannot be had at the moment.
    Schema(String),
}

impl StageTask {
    /// A worker that has nothing assigned yet.
    #[must_use]
    pub fn new(director: &Arc<Director>, writers: Writers, counters: Arc<Counters>) -> Self {
        let (change, live) = Change::enlist(director);
        Self {
            stage: director.stage().clone(),
            writers,
            counters,
            live: Instances::of(live),
            candidate: None,
            change,
            partitions: HashMap::new(),
            exchange: Exchange::default(),
            letters_in_a_row: 0,
            committed_in_a_row: 0,
            halt: None,
        }
    }

    fn is_stateful(&self) -> bool {
        self.live.version.module.is_stateful()
    }

    /// What a fault means that no record has to do with.
    pub(super) fn broken(&self, fault: &Fault) -> Stop {
        Stop::Module(format!("module `{}`: {fault}", self.live.version.module.name()))
    }

    /// Makes the live instance for a partition, if there is none.
    fn ready(&mut self, partition: u32) -> Result<(), Stop> {
        let known = self.partitions.get(&partition);
        let state = known.and_then(|p| p.checkpoint.as_ref().or(p.committed.as_ref()));
        match self.live.get(partition, state) {
            Ok(_) => Ok(()),
            Err(fault) => Err(self.broken(&fault)),
        }
    }

    /// The state of the live instance, if the module keeps one.
    fn snapshot(&mut self, partition: u32) -> Result<Option<Bytes>, Stop> {
        self.ready(partition)?;
        match self.live.existing(partition).map(|instance| instance.snapshot()) {
            Some(Ok(state)) => Ok(state),
            Some(Err(fault)) => Err(self.broken(&fault)),
            None => Ok(None),
        }
    }

    /// Stages the records of a range, calls the module and appends what it answers. None of it has happened if the call
    /// failed.
    fn attempt(
        &mut self,
        session: &mut dyn Session,
        partition: u32,
        batch: &Batch,
        range: Range<usize>,
    ) -> Result<Result<(), Failed>, Stop> {
        let (stage, version) = (self.stage.clone(), self.live.version.clone());
        let mut bad: Vec<Bad> = Vec::new();
        self.exchange.begin(&version.plan, range.len());
        let mut intake = Intake {
            exchange: &mut self.exchange,
            writers: &mut self.writers,
            plan: &version.plan,
            about: About { batch, topic: &stage.from, partition },
            bad: &mut bad,
        };
        let tombstones = match intake.take(range.clone()) {
            Ok(tombstones) => tombstones,
            Err(why) => return Ok(Err(Failed::Schema(why))),
        };
        let called = Called { batch, range: &range, tombstones: &tombstones };
        let records = self.exchange.len() as u64;
        let mut time = None;
        if records > 0 {
            self.ready(partition)?;
            // Two versions are compared, or they are not.
            let begun = self.is_compared().then(Instant::now);
            if let Some(instance) = self.live.existing(partition)
                && let Err(fault) = instance.call(&mut self.exchange, &version.plan, batch.arena())
            {
                return Ok(Err(Failed::Call(fault)));
            }
            if let Some(begun) = begun {
                let elapsed = begun.elapsed();
                time = Some(elapsed);
                self.follow(session, partition, called, elapsed)?;
            }
        }
        let made = match answered(&stage, &version, &mut self.exchange, session, called)? {
            Ok(made) => made,
            Err(fault) => {
                // It was shown them, and is shown them again when they are tried again.
                if let Some(candidate) = &mut self.candidate {
                    candidate.forget(partition);
                }
                return Ok(Err(Failed::Call(fault)));
            }
        };
        self.compare(partition, records, made.bad.len() as u64, time);
        self.counters.dropped.add(made.dropped);
        for (output, emitter) in made.emitters {
            self.counters.records_out.add(emitter.len() as u64);
            self.append(session, output, emitter)?;
        }
        bad.extend(made.bad);
        self.divert(session, partition, batch, range, bad)?;
        Ok(Ok(()))
    }

    /// Has the candidate handle what the live version has handled. If it breaks, it is dropped, here and everywhere.
    fn follow(
        &mut self,
        session: &dyn Session,
        partition: u32,
        called: Called<'_>,
        time: Duration,
    ) -> Result<(), Stop> {
        let Some(candidate) = &mut self.candidate else { return Ok(()) };
        let live = Live { version: &self.live.version, exchange: &self.exchange, time };
        let with = With { stage: &self.stage, writers: &mut self.writers, session };
        if let Err(broken) = candidate.follow(with, partition, called, &live)? {
            if candidate.survives(&self.stage, partition, &broken) {
                return Ok(());
            }
            let number = candidate.number();
            self.candidate = None;
            self.change.fails(number, &broken.fault.to_string());
        }
        Ok(())
    }

    fn append(&mut self, session: &mut dyn Session, output: usize, emitter: Emitter) -> Result<(), Stop> {
        let topic = &self.stage.outputs[output].topic;
        match emitter.finish() {
            Some(batch) if batch.is_empty() => Ok(()),
            Some(batch) => Ok(session.append(topic, &batch)?),
            None => Err(Stop::Policy(format!("no batch for topic `{topic}`; this is a bug of the host"))),
        }
    }

    /// Diverts what cannot be handled of a range, as the stage is told to.
    fn divert(
        &mut self,
        session: &mut dyn Session,
        partition: u32,
        batch: &Batch,
        range: Range<usize>,
        mut bad: Vec<Bad>,
    ) -> Result<(), Stop> {
        bad.sort_by_key(|(index, ..)| *index);
        let most_in_a_row = self.count_in_a_row(range, &bad);
        if bad.is_empty() {
            return Ok(());
        }
        let stage = self.stage.clone();
        if stage.on_error == OnError::Stop {
            let (index, kind, why) = &bad[0];
            let offset = batch.entries()[*index].offset;
            let place = format!("record {}-{partition} offset {offset}", stage.from);
            return Err(Stop::Policy(format!("stopped at {place} ({}): {why}; `on_error` is \"stop\"", kind.name())));
        }
        if stage.on_error == OnError::Drop {
            tracing::debug!(stage = stage.name, records = bad.len(), "dropped by `on_error`");
            self.counters.dropped.add(bad.len() as u64);
            return Ok(());
        }
        self.counters.dead_letters.add(bad.len() as u64);
        let version = self.live.version.clone();
        let mut letters = DeadLetters::new(&stage.name, Some(version.module.digest()));
        for (index, kind, why) in &bad {
            letters.push(batch.get(*index), &stage.from, partition, *kind, why).map_err(full)?;
        }
        session.divert(&stage.dead_letters, &letters.finish())?;
        if most_in_a_row >= stage.max_dead_letters_in_a_row {
            let last = bad.iter().rfind(|(_, kind, _)| is_of_module(*kind));
            let last = last.map(|(_, kind, why)| format!("; the last one ({}): {why}", kind.name()));
            self.halt = Some(format!(
                "{most_in_a_row} dead letters in a row, so the module is taken to be broken{}",
                last.unwrap_or_default()
            ));
        }
        Ok(())
    }

    /// Goes over a range of which the `bad` ones, in order, were not handled. The most in a row that the module could not
    /// handle. Records that it was never called with say nothing of it.
    fn count_in_a_row(&mut self, range: Range<usize>, bad: &[Bad]) -> u64 {
        let (mut next, mut most) = (range.start, 0);
        for (index, kind, _) in bad {
            if *index != next {
                self.letters_in_a_row = 0;
            }
            self.letters_in_a_row += u64::from(is_of_module(*kind));
            most = most.max(self.letters_in_a_row);
            next = index + 1;
        }
        if next < range.end {
            self.letters_in_a_row = 0;
        }
        most
    }

    /// Remembers the state in a search, so that what is done need not be done again.
    fn checkpoint(&mut self, partition: u32) -> Result<(), Stop> {
        if !self.is_stateful() {
            return Ok(());
        }
        let state = self.snapshot(partition)?;
        self.partitions.entry(partition).or_default().checkpoint = state;
        Ok(())
    }
}

impl Task for StageTask {
    fn assigned(&mut self, partition: u32, state: Option<Bytes>, _: Option<&str>) -> Result<(), Stop> {
        self.live.forget(partition);
        if let Some(candidate) = &mut self.candidate {
            candidate.forget(partition);
        }
        let known = self.partitions.entry(partition).or_default();
        (known.committed, known.checkpoint, known.touched) = (state, None, false);
        // Whether the module takes its state is known now, not at the first record.
        match self.ready(partition) {
            // Another worker, or another host, has swapped before this one, and had the partition.
            Err(Stop::Module(why)) if self.is_to_change() => {
                let stage = &self.stage.name;
                tracing::warn!(
                    stage,
                    partition,
                    why,
                    "the live module does not take the state, waiting for the next one"
                );
                Ok(())
            }
            done => done,
        }
    }

    fn revoked(&mut self, partition: u32) {
        self.partitions.remove(&partition);
        self.live.forget(partition);
        if let Some(candidate) = &mut self.candidate {
            candidate.forget(partition);
        }
    }

    fn records(&mut self, session: &mut dyn Session, partition: u32, batch: &Batch) -> Result<Flow, Stop> {
        if self.ready(partition).is_err() && self.is_to_change() {
            return Ok(Flow::Wait);
        }
        self.partitions.entry(partition).or_default().touched = true;
        if let Some(first) = batch.entries().first() {
            self.fence_at(session, partition, first.offset)?;
        }
        let entries = batch.entries();
        let (mut at, mut is_found) = (0, false);
        while at < entries.len() {
            let search = self.partitions.get(&partition).and_then(|p| p.search);
            let size = search.map_or(entries.len() - at, |search| search.take(&entries[at..], |entry| entry.offset));
            let searching = search.is_some_and(|s| s.covers(entries[at].offset));
            let stateful = self.is_stateful();
            if searching && stateful && self.partitions.get(&partition).is_some_and(|p| p.checkpoint.is_none()) {
                self.checkpoint(partition)?;
            }
            let end = at + size;
            match self.attempt(session, partition, batch, at..end)? {
                Ok(()) => {
                    at = end;
                    if searching && stateful {
                        self.checkpoint(partition)?;
                    }
                }
                Err(Failed::Schema(why)) => {
                    let offset = entries[at].offset;
                    tracing::warn!(
                        stage = self.stage.name,
                        partition,
                        offset,
                        why,
                        "waiting for the schema of a record"
                    );
                    return Ok(Flow::Wait);
                }
                Err(Failed::Call(fault)) => {
                    self.counters.faults.add(1);
                    self.live.drop_failed(partition);
                    let (first, next) = (entries[at].offset, entries[end - 1].offset + 1);
                    tracing::debug!(stage = self.stage.name, partition, offset = first, records = size, %fault, "call failed");
                    if self.turns_back(partition, batch, at..end, &fault) {
                        // The version before can handle them, and will.
                        return Ok(Flow::Abort);
                    }
                    let known = self.partitions.entry(partition).or_default();
                    if !searching && (stateful || size > 1) {
                        let search = Search::new(first, next);
                        known.search = Some(known.search.map_or(search, |earlier| earlier.and(search)));
                        if stateful {
                            // What this instance did since the last commit is gone with it.
                            return Ok(Flow::Abort);
                        }
                    } else if size > 1 {
                        if let Some(search) = &mut known.search {
                            search.failed(next);
                        }
                    } else {
                        self.compare(partition, 1, 1, None);
                        self.divert(session, partition, batch, at..end, vec![(at, kind_of(&fault), fault.reason)])?;
                        at = end;
                    }
                }
            }
            let next = entries.get(at).map_or(entries[entries.len() - 1].offset + 1, |entry| entry.offset);
            if let Some(search) = self.partitions.get_mut(&partition).and_then(|known| known.search.as_mut()) {
                search.passed(next);
                // A later fault would throw away what was found.
                is_found |= search.is_over() && stateful;
            }
            if let Some(why) = self.halt.take() {
                return Ok(Flow::Halt { next, why });
            }
        }
        Ok(if is_found || self.is_awaited() { Flow::Commit } else { Flow::Done })
    }

    fn states(&mut self) -> Result<Vec<(u32, Bytes)>, Stop> {
        if !self.is_stateful() {
            return Ok(Vec::new());
        }
        let touched: Vec<u32> = self.partitions.iter().filter(|(_, p)| p.touched).map(|(n, _)| *n).collect();
        let mut states = Vec::with_capacity(touched.len());
        for partition in touched {
            let state = self.snapshot(partition)?;
            let known = self.partitions.get(&partition).and_then(|p| p.committed.as_ref());
            if let Some(state) = state
                && known != Some(&state)
            {
                states.push((partition, state));
            }
        }
        Ok(states)
    }

    fn rows(&mut self) -> Result<Vec<Rows>, Stop> {
        Ok(Vec::new())
    }

    fn between(&mut self, session: &mut dyn Session, standing: &BTreeMap<u32, i64>) -> Result<Between, Stop> {
        if self.is_undisturbed() { Ok(Between::Go) } else { self.at_boundary(session, standing) }
    }

    fn committed(&mut self, states: Vec<(u32, Bytes)>) {
        for (partition, state) in states {
            self.partitions.entry(partition).or_default().committed = Some(state);
        }
        for known in self.partitions.values_mut() {
            (known.checkpoint, known.touched) = (None, false);
            known.search = known.search.filter(|search| !search.is_over());
            known.fenced = known.fencing.take().or(known.fenced);
        }
        self.change.committed();
        self.committed_in_a_row = self.letters_in_a_row;
    }

    fn aborted(&mut self) {
        self.live.forget_all();
        // What it saw of the step has not happened; it is given the committed state again.
        if let Some(candidate) = &mut self.candidate {
            candidate.aborted();
        }
        for known in self.partitions.values_mut() {
            (known.checkpoint, known.touched, known.fencing) = (None, false, None);
        }
        self.change.aborted();
        self.letters_in_a_row = self.committed_in_a_row;
    }
}

/// Whether a dead letter of a stage is of its module's making.
fn is_of_module(kind: Kind) -> bool {
    !matches!(kind, Kind::Decode | Kind::Schema)
}

fn kind_of(fault: &Fault) -> Kind {
    match fault.kind {
        FaultKind::Trap => Kind::Trap,
        FaultKind::Timeout => Kind::Timeout,
        FaultKind::Memory => Kind::Memory,
        FaultKind::Answer => Kind::Answer,
        FaultKind::Refused => Kind::Rejected,
    }
}
