//! A version on trial in one worker: it has the state of the live one, handles what the live one has handled, and nothing
//! that it answers is written. Whatever goes wrong here is the candidate's affair and never the stage's.

use std::sync::Arc;
use std::time::{Duration, Instant};

use bespoke_boundary::{About, Answers, Exchange, Verdict};
use bespoke_record::{Batch, Span};
use bytes::Bytes;

use super::answered::{Called, answered};
use super::instances::Instances;
use super::writers::Writers;
use super::{Stage, Version};
use crate::log::Session;
use crate::module::Fault;
use crate::schema::framing;
use crate::swap::Tally;
use crate::worker::Stop;

/// A version on trial.
pub(super) struct Candidate {
    pub instances: Instances,
    /// What both versions did since the last report.
    pub tally: Tally,
    exchange: Exchange,
}

/// What the live version did with a batch.
pub(super) struct Live<'a> {
    pub version: &'a Version,
    pub exchange: &'a Exchange,
    pub time: Duration,
}

// === impl Candidate ===

impl Candidate {
    pub fn new(version: Arc<Version>) -> Self {
        Self { instances: Instances::of(version), tally: Tally::default(), exchange: Exchange::default() }
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
        for index in live.exchange.indices() {
            if !push(&mut self.exchange, &version, &about, index, batch, writers) {
                // Both have the same schema, so that both can read it; but it names other fields.
                self.tally.candidate.errors += 1;
            }
        }
        let begun = Instant::now();
        if !self.exchange.is_empty()
            && let Err(fault) = instance.call(&mut self.exchange, &version.plan, batch.arena())
        {
            return Ok(Err(fault));
        }
        let (records, time) = (live.exchange.len() as u64, begun.elapsed());
        self.tally.batches += 1;
        self.tally.different +=
            differences((live.version, live.exchange.answers()), (&version, self.exchange.answers()));
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
}

/// Hands a record to a version beside the live one, if that can read it.
pub(super) fn push(
    exchange: &mut Exchange,
    version: &Version,
    about: &About<'_>,
    index: usize,
    batch: &Batch,
    writers: &mut Writers,
) -> bool {
    let Some(Ok((id, datum))) = batch.entries()[index].value.map(|value| framing::split_span(batch, index, value))
    else {
        return false;
    };
    let Ok(resolution) = writers.get(id) else { return false };
    exchange.push(&version.plan, about, index, datum, resolution).is_ok()
}

/// How many answers differ: of `process` one for each record, of `analyze` one for each output.
fn differences((a, live): (&Version, &Answers), (b, candidate): (&Version, &Answers)) -> u64 {
    let same_bytes = |a: Span, b: Span| a.of(&live.arena) == b.of(&candidate.arena);
    let same = |(a, b): &(&Verdict, &Verdict)| match (a, b) {
        (Verdict::Value(a), Verdict::Value(b)) => same_bytes(*a, *b),
        (Verdict::Dropped, Verdict::Dropped) | (Verdict::Rejected(_), Verdict::Rejected(_)) => true,
        _ => false,
    };
    let of_records = live.verdicts.iter().zip(&candidate.verdicts).filter(|pair| !same(pair)).count();
    let is_other = |(at, output): &(usize, &usize)| {
        let other = b.outputs.iter().position(|to| to == *output).and_then(|at| candidate.outputs.get(at));
        let (rows, others) = (live.outputs.get(*at), other);
        rows.map(Vec::len) != others.map(Vec::len)
            || rows.into_iter().flatten().zip(others.into_iter().flatten()).any(|(a, b)| !same_bytes(*a, *b))
    };
    let of_outputs = a.outputs.iter().enumerate().filter(is_other).count();
    (of_records + of_outputs) as u64
}
