//! A version on trial in one worker: it has the state of the live one, handles what the live one has handled, and nothing
//! that it answers is written. Whatever goes wrong here is the candidate's affair and never the stage's.

use std::sync::Arc;
use std::time::{Duration, Instant};

use bespoke_boundary::{About, Exchange};
use bespoke_record::Batch;
use bytes::Bytes;

use super::answered::{Called, answered};
use super::instances::Instances;
use super::intake::Intake;
use super::writers::Writers;
use super::{Stage, Version};
use crate::log::Session;
use crate::module::{Fault, FaultKind};
use crate::swap::{Answered as Said, Comparer, Differences, Example, Given, Tally};
use crate::worker::Stop;

/// A version on trial.
pub(super) struct Candidate {
    pub instances: Instances,
    /// What both versions did since the last report, and how it differs.
    pub tally: Tally,
    pub differences: Differences,
    /// Whether it is on trial without an end.
    pub is_shadow: bool,
    faults_in_a_row: u32,
    comparer: Comparer,
    exchange: Exchange,
}

/// A shadow that fails so often without handling a batch between is dropped.
const MAX_FAULTS_IN_A_ROW: u32 = 100;

/// What the live version did with a batch.
pub(super) struct Live<'a> {
    pub version: &'a Version,
    pub exchange: &'a Exchange,
    pub time: Duration,
}

// === impl Candidate ===

impl Candidate {
    pub fn new(stage: &Stage, version: Arc<Version>, is_shadow: bool) -> Self {
        let (tally, differences, exchange) = Default::default();
        let (instances, comparer) = (Instances::of(version), Comparer::new(stage));
        Self { instances, tally, differences, is_shadow, faults_in_a_row: 0, comparer, exchange }
    }

    pub fn number(&self) -> u64 {
        self.instances.version.number
    }

    /// Makes the instance for a partition from the state that was committed last, unless it has one.
    pub fn join(&mut self, partition: u32, state: Option<&Bytes>) -> Result<(), Fault> {
        self.instances.get(partition, state).map(|_| ())
    }

    /// Handles what the live version has just handled. Does nothing in a partition that it has not joined.
    pub fn follow(
        &mut self,
        (stage, writers, session): (&Stage, &mut Writers, &dyn Session),
        partition: u32,
        called: Called<'_>,
        live: &Live<'_>,
    ) -> Result<Result<(), Fault>, Stop> {
        let version = self.instances.version.clone();
        let Some(instance) = self.instances.existing(partition) else { return Ok(Ok(())) };
        let batch = called.batch;
        let about = About { batch, topic: &stage.from, partition };
        self.exchange.begin(&version.plan, live.exchange.len());
        let mut bad = Vec::new();
        let mut intake = Intake { exchange: &mut self.exchange, writers, plan: &version.plan, about, bad: &mut bad };
        // Both have the same schema, so that both can read it; but it names other fields.
        let missing = intake.take(live.exchange.indices()).is_err();
        self.tally.candidate.errors += bad.len() as u64 + u64::from(missing);
        let begun = Instant::now();
        if !self.exchange.is_empty()
            && let Err(fault) = instance.call(&mut self.exchange, &version.plan, batch.arena())
        {
            return Ok(Err(fault));
        }
        let (records, time) = (live.exchange.len() as u64, begun.elapsed());
        self.tally.batches += 1;
        self.faults_in_a_row = 0;
        let given = Given { batch, partition };
        let said = [(live.version, live.exchange), (&version, &self.exchange)];
        let [a, b] = said.map(|(version, exchange)| Said { version, exchange });
        self.tally.different += self.comparer.compare(stage, given, a, b, &mut self.differences);
        self.tally.live.call(records, live.time);
        self.tally.candidate.call(records, time);
        // As if it were to be written: keys and sizes count too.
        let made = match answered(stage, &version, &mut self.exchange, session, called)? {
            Ok(made) => made,
            Err(fault) => return Ok(Err(fault)),
        };
        self.tally.candidate.errors += made.bad.len() as u64;
        Ok(Ok(()))
    }

    /// Whether it goes on after a fault, which is counted then: a shadow does, with the committed state from the next step
    /// on. One that takes too long does not, as the stream would wait for it each time.
    pub fn survives(&mut self, stage: &Stage, partition: u32, live: &Live<'_>, batch: &Batch, fault: &Fault) -> bool {
        self.faults_in_a_row += 1;
        let is_slow = fault.kind == FaultKind::Timeout;
        if !self.is_shadow || is_slow || self.faults_in_a_row > MAX_FAULTS_IN_A_ROW {
            return false;
        }
        self.instances.drop_failed(partition);
        let records = live.exchange.len() as u64;
        self.tally.batches += 1;
        self.tally.live.call(records, live.time);
        self.tally.candidate.records += records;
        self.tally.candidate.errors += records;
        let first = live.exchange.indices().next().map_or(0, |index| batch.entries()[index].offset);
        self.differences.failed(records, |what| Example {
            partition,
            offset: first,
            topic: stage.from.clone(),
            what,
            live: None,
            candidate: Some(fault.to_string().into()),
        });
        true
    }
}
