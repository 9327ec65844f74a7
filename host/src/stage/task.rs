//! One worker's share of a stage.

use std::collections::HashMap;
use std::ops::Range;
use std::sync::Arc;

use bespoke_boundary::{About, Exchange, Function, Verdict};
use bespoke_record::Batch;
use bytes::Bytes;

use super::emit::{EmitError, Emitter, reason};
use super::search::Search;
use super::writers::{NoSchema, Writers};
use super::{OnError, Stage};
use crate::dead_letter::{DeadLetters, Kind};
use crate::log::{LogError, Session};
use crate::metrics::Counters;
use crate::module::{Fault, FaultKind, Instance};
use crate::schema::framing;
use crate::table::Rows;
use crate::worker::{Flow, Stop, Task};

/// A stage's worker: instances of the module, and what is known of each partition.
pub struct StageTask {
    stage: Arc<Stage>,
    writers: Writers,
    counters: Arc<Counters>,
    /// By partition, or under [`SHARED`] if the module keeps no state.
    instances: HashMap<u32, Instance>,
    partitions: HashMap<u32, Partition>,
    exchange: Exchange,
    /// Dead letters without a record between them that was handled.
    letters_in_a_row: u64,
    /// How many there were at the last commit.
    committed_in_a_row: u64,
    /// Why the stage must stop, once there were too many.
    halt: Option<String>,
}

/// What is known of a partition.
#[derive(Default)]
struct Partition {
    /// The state of the last commit.
    committed: Option<Bytes>,
    /// A later state, of records that are done but not committed: from a search until the commit after it, because the
    /// last record of a search may break the instance.
    checkpoint: Option<Bytes>,
    search: Option<Search>,
    /// Whether records came since the last commit.
    touched: bool,
}

/// The key of the only instance of a module without state.
const SHARED: u32 = u32::MAX;

/// A record that cannot be handled: its index in the batch, and why.
type Bad = (usize, Kind, String);

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
    pub fn new(stage: Arc<Stage>, writers: Writers, counters: Arc<Counters>) -> Self {
        Self {
            stage,
            writers,
            counters,
            instances: HashMap::new(),
            partitions: HashMap::new(),
            exchange: Exchange::default(),
            letters_in_a_row: 0,
            committed_in_a_row: 0,
            halt: None,
        }
    }

    fn slot(&self, partition: u32) -> u32 {
        if self.stage.module.is_stateful() { partition } else { SHARED }
    }

    /// The instance for a partition, made anew and given its state if there is none.
    fn instance(&mut self, partition: u32) -> Result<&mut Instance, Stop> {
        let slot = self.slot(partition);
        if !self.instances.contains_key(&slot) {
            let stop = |fault: Fault| Stop::Module(format!("module `{}`: {fault}", self.stage.module.name()));
            let mut instance = Instance::new(&self.stage.module, &self.stage.settings).map_err(stop)?;
            let known = self.partitions.get(&partition);
            if let Some(state) = known.and_then(|p| p.checkpoint.as_ref().or(p.committed.as_ref())) {
                instance.restore(state).map_err(stop)?;
            }
            self.instances.insert(slot, instance);
        }
        self.instances.get_mut(&slot).ok_or_else(|| Stop::Module("the instance is gone".to_owned()))
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
        let stage = self.stage.clone();
        let mut bad: Vec<Bad> = Vec::new();
        let mut tombstones = Vec::new();
        let about = About { batch, topic: &stage.from, partition };
        self.exchange.begin(&stage.plan, range.len());
        for index in range.clone() {
            let Some(value) = batch.entries()[index].value else {
                tombstones.push(index);
                continue;
            };
            let (id, datum) = match framing::split_span(batch, index, value) {
                Ok(found) => found,
                Err(error) => {
                    bad.push((index, Kind::Decode, error.to_string()));
                    continue;
                }
            };
            match self.writers.get(id) {
                Ok(resolution) => {
                    if let Err(error) = self.exchange.push(&stage.plan, &about, index, datum, resolution) {
                        bad.push((index, Kind::Decode, format!("not a record of schema {id}: {error}")));
                    }
                }
                Err(NoSchema::Unknown(why)) => bad.push((index, Kind::Schema, why)),
                Err(NoSchema::Unavailable(why)) => return Ok(Err(Failed::Schema(why))),
            }
        }
        if !self.exchange.is_empty() {
            let mut exchange = std::mem::take(&mut self.exchange);
            let instance = self.instance(partition)?;
            let called = instance.call(&mut exchange, &stage.plan, batch.arena()).map(|_| ());
            self.exchange = exchange;
            if let Err(fault) = called {
                return Ok(Err(Failed::Call(fault)));
            }
        }
        let answered = self.exchange.len();
        match stage.plan.signature().function {
            Function::Process => {
                let (emitter, dropped) = self.answers_of_batch(batch, &tombstones, &mut bad)?;
                if let Some(fault) = self.too_large(session, 0, &emitter) {
                    return Ok(Err(Failed::Call(fault)));
                }
                self.counters.dropped.add(dropped);
                self.counters.records_out.add(emitter.len() as u64);
                self.append(session, 0, emitter)?;
            }
            Function::Analyze if answered == 0 => {}
            Function::Analyze => {
                let newest = batch.entries()[range.clone()].iter().map(|e| e.timestamp_ms).max().unwrap_or_default();
                let emitters = match self.rows_of_answer(newest)? {
                    Ok(emitters) => emitters,
                    Err(fault) => return Ok(Err(Failed::Call(fault))),
                };
                // All are looked at before the first is appended: either all of the answer counts, or nothing.
                if let Some(fault) = emitters.iter().find_map(|(output, e)| self.too_large(session, *output, e)) {
                    return Ok(Err(Failed::Call(fault)));
                }
                for (output, emitter) in emitters {
                    self.counters.records_out.add(emitter.len() as u64);
                    self.append(session, output, emitter)?;
                }
            }
        }
        self.divert(session, partition, batch, range, bad)?;
        Ok(Ok(()))
    }

    /// `process`: one answer per record, tombstones in their places.
    fn answers_of_batch(
        &mut self,
        batch: &Batch,
        tombstones: &[usize],
        bad: &mut Vec<Bad>,
    ) -> Result<(Emitter, u64), Stop> {
        let stage = &*self.stage;
        let destination = &stage.outputs[0];
        let verdicts = self.exchange.answers().verdicts.clone();
        let indices: Vec<usize> = self.exchange.indices().collect();
        for (index, verdict) in indices.iter().zip(&verdicts) {
            if let Some(reason) = reason(self.exchange.answers(), *verdict) {
                bad.push((*index, Kind::Rejected, reason));
            }
        }
        let records = indices.len() + tombstones.len();
        let mut emitter = stage.emitter(destination, self.exchange.take_arena(), records).map_err(full)?;
        let framing = destination.frame.prefix().len();
        let mut tombstones = tombstones.iter().peekable();
        let mut dropped = 0;
        for (index, verdict) in indices.into_iter().zip(verdicts) {
            while let Some(earlier) = tombstones.next_if(|t| **t < index) {
                emitter.tombstone(batch, *earlier).map_err(full)?;
            }
            match verdict {
                Verdict::Value(value) => {
                    match emitter.answer(value, framing, destination.key.as_ref(), (batch, index)) {
                        Ok(()) => {}
                        Err(EmitError::Key(error)) => bad.push((index, Kind::Key, error.to_string())),
                        Err(error) => return Err(full(error)),
                    }
                }
                Verdict::Dropped => dropped += 1,
                Verdict::Rejected(_) => {}
            }
        }
        for rest in tombstones {
            emitter.tombstone(batch, *rest).map_err(full)?;
        }
        Ok((emitter, dropped))
    }

    /// A record that the log would not take is an answer that cannot be used.
    fn too_large(&self, session: &dyn Session, output: usize, emitter: &Emitter) -> Option<Fault> {
        let topic = &self.stage.outputs[output].topic;
        let (bytes, limit) = (emitter.largest_bytes(), session.max_record_bytes(topic));
        let reason = || {
            let function = self.stage.plan.signature().function.name();
            format!(
                "{function}: a record of about {bytes} bytes for topic `{topic}` is larger than the limit of {limit}"
            )
        };
        (bytes > limit).then(|| Fault { kind: FaultKind::Answer, reason: reason() })
    }

    /// `analyze`: the rows of each output that has any, with the newest timestamp of the batch. A row without a key is
    /// an answer that cannot be used, like any other that the module got wrong.
    fn rows_of_answer(&mut self, newest_ms: i64) -> Result<Result<Vec<(usize, Emitter)>, Fault>, Stop> {
        let stage = self.stage.clone();
        let outputs = self.exchange.answers().outputs.clone();
        let mut arena = self.exchange.take_arena();
        let last = outputs.len().saturating_sub(1);
        let mut emitters = Vec::new();
        for (output, rows) in outputs.iter().enumerate() {
            // All outputs were lifted into one arena: the last takes it, those before it get a copy.
            let bytes = match (rows.is_empty(), output == last) {
                (true, _) => continue,
                (false, true) => std::mem::take(&mut arena),
                (false, false) => arena.clone(),
            };
            let destination = &stage.outputs[output];
            let mut emitter = stage.emitter(destination, bytes, rows.len()).map_err(full)?;
            let framing = destination.frame.prefix().len();
            for row in rows {
                match emitter.row(*row, framing, destination.key.as_ref(), newest_ms) {
                    Ok(()) => {}
                    Err(EmitError::Key(error)) => {
                        let reason =
                            format!("analyze: a row for topic `{}` cannot be keyed: {error}", destination.topic);
                        return Ok(Err(Fault { kind: FaultKind::Answer, reason }));
                    }
                    Err(error) => return Err(full(error)),
                }
            }
            emitters.push((output, emitter));
        }
        Ok(Ok(emitters))
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
        let mut letters = DeadLetters::new(&stage.name, Some(stage.module.digest()));
        for (index, kind, why) in &bad {
            letters.push(batch.get(*index), &stage.from, partition, *kind, why).map_err(full)?;
        }
        session.divert(&stage.dead_letters, &letters.finish())?;
        if most_in_a_row >= stage.max_dead_letters_in_a_row {
            let (_, kind, why) = &bad[bad.len() - 1];
            self.halt = Some(format!(
                "{most_in_a_row} dead letters in a row, so the module is taken to be broken; the last one ({}): {why}",
                kind.name()
            ));
        }
        Ok(())
    }

    /// Goes over a range of which the `bad` ones, in order, were not handled. The most that were so in a row.
    fn count_in_a_row(&mut self, range: Range<usize>, bad: &[Bad]) -> u64 {
        let (mut next, mut most) = (range.start, 0);
        for (index, ..) in bad {
            let before = if *index == next { self.letters_in_a_row } else { 0 };
            self.letters_in_a_row = before + 1;
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
        if !self.stage.module.is_stateful() {
            return Ok(());
        }
        let name = self.stage.module.name().to_owned();
        let state = self.instance(partition)?.snapshot().map_err(|f| Stop::Module(format!("module `{name}`: {f}")))?;
        self.partitions.entry(partition).or_default().checkpoint = state;
        Ok(())
    }
}

impl Task for StageTask {
    fn assigned(&mut self, partition: u32, state: Option<Bytes>, _: Option<&str>) -> Result<(), Stop> {
        let slot = self.slot(partition);
        if slot != SHARED {
            self.instances.remove(&slot);
        }
        let known = self.partitions.entry(partition).or_default();
        (known.committed, known.checkpoint, known.touched) = (state, None, false);
        // Whether the module takes its state is known now, not at the first record.
        self.instance(partition).map(|_| ())
    }

    fn revoked(&mut self, partition: u32) {
        self.partitions.remove(&partition);
        self.instances.remove(&partition);
    }

    fn records(&mut self, session: &mut dyn Session, partition: u32, batch: &Batch) -> Result<Flow, Stop> {
        self.partitions.entry(partition).or_default().touched = true;
        let offsets: Vec<i64> = batch.entries().iter().map(|e| e.offset).collect();
        let (mut at, mut is_found) = (0, false);
        while at < offsets.len() {
            let search = self.partitions.get(&partition).and_then(|p| p.search);
            let size = search.map_or(offsets.len() - at, |s| s.take(&offsets[at..]));
            let searching = search.is_some_and(|s| s.covers(offsets[at]));
            let stateful = self.stage.module.is_stateful();
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
                    let offset = offsets[at];
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
                    let slot = self.slot(partition);
                    self.instances.remove(&slot);
                    let (first, next) = (offsets[at], offsets[end - 1] + 1);
                    tracing::debug!(stage = self.stage.name, partition, offset = first, records = size, %fault, "call failed");
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
                        self.divert(session, partition, batch, at..end, vec![(at, kind_of(&fault), fault.reason)])?;
                        at = end;
                    }
                }
            }
            let next = offsets.get(at).copied().unwrap_or(offsets[offsets.len() - 1] + 1);
            if let Some(search) = self.partitions.get_mut(&partition).and_then(|known| known.search.as_mut()) {
                search.passed(next);
                // A later fault would throw away what was found.
                is_found |= search.is_over() && stateful;
            }
            if let Some(why) = self.halt.take() {
                return Ok(Flow::Halt { next, why });
            }
        }
        Ok(if is_found { Flow::Commit } else { Flow::Done })
    }

    fn states(&mut self) -> Result<Vec<(u32, Bytes)>, Stop> {
        if !self.stage.module.is_stateful() {
            return Ok(Vec::new());
        }
        let touched: Vec<u32> = self.partitions.iter().filter(|(_, p)| p.touched).map(|(n, _)| *n).collect();
        let name = self.stage.module.name().to_owned();
        let mut states = Vec::with_capacity(touched.len());
        for partition in touched {
            let state =
                self.instance(partition)?.snapshot().map_err(|f| Stop::Module(format!("module `{name}`: {f}")))?;
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

    fn committed(&mut self, states: Vec<(u32, Bytes)>) {
        for (partition, state) in states {
            self.partitions.entry(partition).or_default().committed = Some(state);
        }
        for known in self.partitions.values_mut() {
            (known.checkpoint, known.touched) = (None, false);
            known.search = known.search.filter(|search| !search.is_over());
        }
        self.committed_in_a_row = self.letters_in_a_row;
    }

    fn aborted(&mut self) {
        if self.stage.module.is_stateful() {
            self.instances.clear();
        }
        for known in self.partitions.values_mut() {
            (known.checkpoint, known.touched) = (None, false);
        }
        self.letters_in_a_row = self.committed_in_a_row;
    }
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

fn full(error: impl std::error::Error + Send + Sync + 'static) -> Stop {
    Stop::Log(LogError::Store { path: "the step".to_owned(), source: Box::new(error) })
}
