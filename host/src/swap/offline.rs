//! Two modules side by side on records that lie in a topic, without a stream and without writing anything.
//!
//! Both are called with the same records, each with a state of its own that begins empty. Where a call of either fails,
//! both go back to before it and the records are tried in halves, so that a fault is counted for the one record that has
//! it. Used by `host compare`.

use std::collections::HashMap;
use std::ops::Range;
use std::sync::Arc;
use std::time::Instant;

use bespoke_boundary::{About, Exchange, Verdict};
use bespoke_record::Batch;
use bytes::Bytes;
use serde::Serialize;

use super::compare::{Answered, Comparer, Given};
use super::{Differences, Example, Side};
use crate::module::{Fault, Instance};
use crate::stage::{Intake, Stage, Version, Writers};

/// What came of a comparison.
#[derive(Clone, Debug, Default, Serialize)]
pub struct Comparison {
    /// Records that both were given.
    pub records: u64,
    /// Records that none of them was given, because they are not what their schema says, or have no value.
    pub unread: u64,
    /// The first module.
    pub live: Side,
    /// The second one.
    pub candidate: Side,
    /// How what they answered differs.
    pub differences: Differences,
}

/// A module of two.
struct Runner {
    version: Arc<Version>,
    instances: HashMap<u32, Instance>,
    exchange: Exchange,
    side: Side,
}

/// Two modules on the records of one stage.
pub struct Offline<'a> {
    stage: &'a Stage,
    writers: Writers,
    comparer: Comparer,
    runners: [Runner; 2],
    comparison: Comparison,
}

// === impl Offline ===

impl<'a> Offline<'a> {
    /// Nothing compared yet.
    #[must_use]
    pub fn new(stage: &'a Stage, writers: Writers, versions: [Arc<Version>; 2]) -> Self {
        let runner = |version| Runner {
            version,
            instances: HashMap::new(),
            exchange: Exchange::default(),
            side: Side::default(),
        };
        let (runners, comparer) = (versions.map(runner), Comparer::new(stage));
        Self { stage, writers, comparer, runners, comparison: Comparison::default() }
    }

    /// Has both handle records of a partition.
    ///
    /// # Errors
    /// If one of them does not start, or does not take back a state of its own.
    pub fn handle(&mut self, partition: u32, batch: &Batch) -> Result<(), Fault> {
        // A range, and the states before it.
        let mut left: Vec<Range<usize>> = std::iter::once(0..batch.len()).collect();
        while let Some(range) = left.pop() {
            if range.is_empty() {
                continue;
            }
            let mut before = [None, None];
            for (runner, state) in self.runners.iter_mut().zip(&mut before) {
                *state = runner.instance(partition)?.snapshot()?;
            }
            let called = self.call(partition, batch, &range);
            if let [Ok(live), Ok(candidate)] = &called {
                self.compare(partition, batch, &range, [live, candidate]);
                continue;
            }
            // What either did with these records has not happened.
            for (runner, state) in self.runners.iter_mut().zip(&before) {
                runner.back_to(partition, state.as_ref())?;
            }
            if range.len() > 1 {
                let half = range.start + range.len() / 2;
                left.extend([half..range.end, range.start..half]);
            } else {
                self.count_faults(partition, batch, range.start, &called);
            }
        }
        Ok(())
    }

    /// What came of it.
    #[must_use]
    pub fn finish(self) -> Comparison {
        let [live, candidate] = self.runners.map(|runner| runner.side);
        Comparison { live, candidate, ..self.comparison }
    }

    fn call(&mut self, partition: u32, batch: &Batch, range: &Range<usize>) -> [Result<Side, Fault>; 2] {
        let about = About { batch, topic: &self.stage.from, partition };
        for runner in &mut self.runners {
            let Runner { exchange, version, .. } = runner;
            exchange.begin(&version.plan, range.len());
            // What is no record of its schema is a dead letter, and no module sees it.
            let bad = &mut Vec::new();
            let mut intake = Intake { exchange, writers: &mut self.writers, plan: &version.plan, about, bad };
            let _ = intake.take(range.clone());
        }
        [0, 1].map(|at| self.runners[at].call(partition, batch))
    }

    fn compare(&mut self, partition: u32, batch: &Batch, range: &Range<usize>, did: [&Side; 2]) {
        for (runner, side) in self.runners.iter_mut().zip(did) {
            runner.side.add(side);
        }
        let [live, candidate] = &self.runners;
        let given = Given { batch, partition };
        let [a, b] = [live, candidate].map(|r| Answered { version: &r.version, exchange: &r.exchange });
        self.comparer.compare(self.stage, given, a, b, &mut self.comparison.differences);
        self.count(range.len(), live.exchange.len().max(candidate.exchange.len()));
    }

    fn count(&mut self, all: usize, handled: usize) {
        self.comparison.records += handled as u64;
        self.comparison.unread += (all - handled) as u64;
    }

    /// One record at which a call failed, of one or of both.
    fn count_faults(&mut self, partition: u32, batch: &Batch, index: usize, called: &[Result<Side, Fault>; 2]) {
        let failed = Side { records: 1, errors: 1, ..Side::default() };
        for (runner, called) in self.runners.iter_mut().zip(called) {
            runner.side.add(called.as_ref().unwrap_or(&failed));
        }
        self.count(1, 1);
        let [live, candidate] = called;
        if live.is_err() == candidate.is_err() {
            return;
        }
        let name = |called: &Result<Side, Fault>| if called.is_ok() { "answered" } else { "failed" };
        let reason = |called: &Result<Side, Fault>| called.as_ref().err().map(|fault| fault.to_string().into());
        let (topic, offset) = (self.stage.from.clone(), batch.entries()[index].offset);
        self.comparison.differences.verdict(format!("{} -> {}", name(live), name(candidate)), |what| {
            let (live, candidate) = (reason(live), reason(candidate));
            Example { partition, offset, topic, what, live, candidate }
        });
    }
}

// === impl Runner ===

impl Runner {
    fn slot(&self, partition: u32) -> u32 {
        if self.version.module.is_stateful() { partition } else { 0 }
    }

    fn instance(&mut self, partition: u32) -> Result<&mut Instance, Fault> {
        use std::collections::hash_map::Entry;
        match self.instances.entry(self.slot(partition)) {
            Entry::Occupied(found) => Ok(found.into_mut()),
            Entry::Vacant(place) => Ok(place.insert(Instance::new(&self.version.module, &self.version.settings)?)),
        }
    }

    fn back_to(&mut self, partition: u32, state: Option<&Bytes>) -> Result<(), Fault> {
        let slot = self.slot(partition);
        self.instances.remove(&slot);
        let instance = self.instance(partition)?;
        state.map_or(Ok(()), |state| instance.restore(state))
    }

    fn call(&mut self, partition: u32, batch: &Batch) -> Result<Side, Fault> {
        let slot = self.slot(partition);
        let Some(instance) = self.instances.get_mut(&slot).filter(|_| !self.exchange.is_empty()) else {
            return Ok(Side::default());
        };
        let begun = Instant::now();
        instance.call(&mut self.exchange, &self.version.plan, batch.arena())?;
        let time = begun.elapsed();
        let answers = self.exchange.answers();
        let rejected = answers.verdicts.iter().filter(|verdict| matches!(verdict, Verdict::Rejected(_))).count();
        let mut side = Side { errors: rejected as u64, ..Side::default() };
        side.call(self.exchange.len() as u64, time);
        Ok(side)
    }
}
