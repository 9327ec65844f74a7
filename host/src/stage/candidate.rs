//! A version on trial in one worker: it has the state of the live one, handles what the live one has handled, and nothing
//! that it answers is written. Whatever goes wrong here is the candidate's affair and never the stage's.

use std::io;
use std::sync::Arc;
use std::time::{Duration, Instant};

use bespoke_boundary::{About, Exchange};
use bytes::Bytes;

use super::answered::{Called, answered};
use super::instances::Instances;
use super::intake::Intake;
use super::joining::{CATCH_UP, Joining, Missed};
use super::writers::Writers;
use super::{Stage, Version};
use crate::log::Session;
use crate::module::{Fault, FaultKind};
use crate::swap::{Answered as Said, Comparer, Differences, Example, Given, Tally};
use crate::worker::Stop;

/// A version on trial.
pub(super) struct Candidate {
    instances: Instances,
    joining: Joining,
    /// What both versions did since the last report, and how it differs.
    pub tally: Tally,
    pub differences: Differences,
    /// Batches of the reports so far.
    pub told_batches: u64,
    /// The same with batches that it had missed at first, whose answers are compared with none.
    pub missed: Tally,
    /// Whether it is on trial without an end.
    pub is_shadow: bool,
    /// Whether it was told that it knows all that the live version knows.
    pub has_joined: bool,
    /// How long the worker did nothing but begin to have its instances made.
    begun: Duration,
    faults_in_a_row: u32,
    /// Where it counts at which records of the last batch the live version failed: that is known only after the candidate had
    /// its turn.
    last: Last,
    comparer: Comparer,
    exchange: Exchange,
}

/// A shadow that fails so often without handling a batch between is dropped.
const MAX_FAULTS_IN_A_ROW: u32 = 100;

/// What the candidate did with the batch that the live version handled last.
#[derive(Clone, Copy, Default)]
enum Last {
    /// Nothing, or nothing that counts.
    #[default]
    Nothing,
    /// It handled it too.
    Handled,
    /// It keeps it for later.
    Kept,
}

/// What the live version did with a batch.
pub(super) struct Live<'a> {
    pub version: &'a Version,
    pub exchange: &'a Exchange,
    pub time: Duration,
}

/// What it takes to handle a batch.
pub(super) struct With<'a> {
    pub stage: &'a Stage,
    pub writers: &'a mut Writers,
    pub session: &'a dyn Session,
}

/// Records that the live version has handled, by their indices, how long it took, and at how many it failed, if that is known.
struct Handled<'a> {
    called: Called<'a>,
    indices: &'a [usize],
    time: Duration,
    errors: u64,
}

/// A batch broke it, or its instance could not be made.
pub(super) struct Broken {
    pub fault: Fault,
    /// Offset of the first record, and how many there were: none if the instance could not be made.
    offset: i64,
    records: u64,
    /// How long the live version took, and at how many of them it failed.
    time: Duration,
    errors: u64,
}

// === impl Candidate ===

impl Candidate {
    pub fn new(stage: &Stage, version: Arc<Version>, is_shadow: bool) -> Self {
        let (tally, missed, differences, exchange, joining, begun) = Default::default();
        let (instances, comparer) = (Instances::of(version), Comparer::new(stage));
        Self {
            instances,
            joining,
            tally,
            differences,
            told_batches: 0,
            missed,
            is_shadow,
            has_joined: false,
            begun,
            faults_in_a_row: 0,
            last: Last::Nothing,
            comparer,
            exchange,
        }
    }

    pub fn number(&self) -> u64 {
        self.instances.version.number
    }

    /// Begins to have instances made for the partitions that have none, with the states that were committed last.
    pub fn join<'a>(&mut self, partitions: impl Iterator<Item = (u32, Option<&'a Bytes>)>) -> io::Result<()> {
        let begun = Instant::now();
        if self.joining.begin(&self.instances, partitions)? {
            self.begun += begun.elapsed();
        }
        Ok(())
    }

    /// Whether it has seen all that the live version has.
    pub fn is_current(&self) -> bool {
        self.joining.is_over()
    }

    /// Whether that is so in a partition.
    pub fn knows(&self, partition: u32) -> bool {
        self.instances.has(partition) && !self.joining.lacks(&self.instances.version, partition)
    }

    /// Handles the next batch that was missed in a partition. False if there is none, or none can be handled yet.
    pub fn catch_up(&mut self, with: With<'_>, partition: u32) -> Result<Result<bool, Broken>, Stop> {
        let missed = match self.joining.next(&mut self.instances, partition) {
            Ok(Some(missed)) => missed,
            Ok(None) => return Ok(Ok(false)),
            Err(fault) => return Ok(Err(Broken { fault, offset: 0, records: 0, time: Duration::ZERO, errors: 0 })),
        };
        let Missed { batch, range, tombstones, indices, time, errors } = &missed;
        let called = Called { batch, range, tombstones };
        let handled = Handled { called, indices, time: *time, errors: *errors };
        Ok(self.handle(with, partition, handled, None)?.map(|()| true))
    }

    /// Handles what it missed, and then what the live version has just handled; keeps that for later in a partition where it
    /// has not seen all before it. Does nothing in one that it was never told to join.
    pub fn follow(
        &mut self,
        with: With<'_>,
        partition: u32,
        called: Called<'_>,
        live: &Live<'_>,
    ) -> Result<Result<(), Broken>, Stop> {
        let With { stage, writers, session } = with;
        self.last = Last::Nothing;
        for _ in 0..CATCH_UP {
            match self.catch_up(With { stage, writers, session }, partition)? {
                Ok(true) => {}
                Ok(false) => break,
                Err(broken) => return Ok(Err(broken)),
            }
        }
        let (time, indices) = (live.time, live.exchange.indices().collect());
        if self.joining.lacks(&self.instances.version, partition) {
            let Called { batch, range, tombstones } = called;
            let (batch, range, tombstones) = (batch.clone(), range.clone(), tombstones.to_vec());
            let missed = Missed { batch, range, tombstones, indices, time, errors: 0 };
            self.joining.miss(&self.instances.version, partition, missed);
            self.last = Last::Kept;
            return Ok(Ok(()));
        }
        let handled = Handled { called, indices: &indices, time, errors: 0 };
        self.handle(With { stage, writers, session }, partition, handled, Some(live))
    }

    /// Takes note of records of the last batch at which the live version failed too.
    pub fn live_failed_at(&mut self, partition: u32, errors: u64) {
        match std::mem::take(&mut self.last) {
            // Of what it was not given it cannot be said how it would have done.
            Last::Nothing => {}
            Last::Handled => self.tally.live.errors += errors,
            Last::Kept => {
                if let Some(missed) = self.joining.last(&self.instances.version, partition) {
                    missed.errors += errors;
                }
            }
        }
    }

    /// Handles what the live version has handled, as if the answers were to be written: keys and sizes count too. They are
    /// compared with those of the live version, where these are at hand.
    fn handle(
        &mut self,
        With { stage, writers, session }: With<'_>,
        partition: u32,
        Handled { called, indices, time: live_time, errors }: Handled<'_>,
        live: Option<&Live<'_>>,
    ) -> Result<Result<(), Broken>, Stop> {
        let version = self.instances.version.clone();
        let Some(instance) = self.instances.existing(partition) else { return Ok(Ok(())) };
        if live.is_some() {
            self.last = Last::Handled;
        }
        let (batch, records) = (called.batch, indices.len() as u64);
        let offset = indices.first().map_or(0, |index| batch.entries()[*index].offset);
        let broken = |fault| Ok(Err(Broken { fault, offset, records, time: live_time, errors }));
        let about = About { batch, topic: &stage.from, partition };
        self.exchange.begin(&version.plan, indices.len());
        let mut bad = Vec::new();
        let mut intake = Intake { exchange: &mut self.exchange, writers, plan: &version.plan, about, bad: &mut bad };
        // Both have the same schema, so that both can read it; but it names other fields.
        let missing = intake.take(indices.iter().copied()).is_err();
        let begun = Instant::now();
        if !self.exchange.is_empty()
            && let Err(fault) = instance.call(&mut self.exchange, &version.plan, batch.arena())
        {
            return broken(fault);
        }
        let time = begun.elapsed();
        let (mut different, mut differences) = (0, Differences::default());
        if let Some(live) = live {
            let given = Given { batch, partition };
            let said = [(live.version, live.exchange), (&version, &self.exchange)];
            let [a, b] = said.map(|(version, exchange)| Said { version, exchange });
            different = self.comparer.compare(stage, given, a, b, &mut differences);
        }
        let made = match answered(stage, &version, &mut self.exchange, session, called)? {
            Ok(made) => made,
            Err(fault) => return broken(fault),
        };
        self.faults_in_a_row = 0;
        self.differences.add(differences);
        let tally = if live.is_some() { &mut self.tally } else { &mut self.missed };
        tally.batches += 1;
        tally.different += different;
        tally.live.call(records, live_time);
        tally.live.errors += errors;
        tally.candidate.call(records, time);
        tally.candidate.errors += bad.len() as u64 + u64::from(missing) + made.bad.len() as u64;
        Ok(Ok(()))
    }

    /// Whether it goes on after a fault, which is counted then: a shadow does, with the committed state from the next step
    /// on. One that takes too long does not, as the stream would wait for it each time.
    pub fn survives(&mut self, stage: &Stage, partition: u32, broken: &Broken) -> bool {
        self.faults_in_a_row += 1;
        let Broken { fault, offset, records, time, errors } = broken;
        let is_slow = fault.kind == FaultKind::Timeout;
        let is_made = *records > 0;
        if !self.is_shadow || is_slow || !is_made || self.faults_in_a_row > MAX_FAULTS_IN_A_ROW {
            return false;
        }
        self.instances.drop_failed(partition);
        self.joining.forget(&self.instances.version, partition);
        self.tally.batches += 1;
        self.tally.live.call(*records, *time);
        self.tally.live.errors += errors;
        self.tally.candidate.records += records;
        self.tally.candidate.errors += records;
        self.differences.failed(*records, |what| Example {
            partition,
            offset: *offset,
            topic: stage.from.clone(),
            what,
            live: None,
            candidate: Some(fault.to_string().into()),
        });
        true
    }

    /// The partition has another state now, or is gone.
    pub fn forget(&mut self, partition: u32) {
        self.last = Last::Nothing;
        self.instances.forget(partition);
        self.joining.forget(&self.instances.version, partition);
    }

    /// What was handled in the open step has not happened.
    pub fn aborted(&mut self) {
        self.last = Last::Nothing;
        self.instances.forget_all();
        self.joining.forget_all(&self.instances.version);
    }

    /// Its instances that have seen all that the live version has, and how long the worker did nothing else for them.
    pub fn into_instances(mut self) -> (Instances, Duration) {
        self.joining.slots().for_each(|slot| self.instances.drop_slot(slot));
        (self.instances, self.begun + self.joining.waited)
    }
}
