//! What came of a call, as records for topics: the same for the live version, whose records are appended, and for a
//! candidate, whose records are thrown away.

use std::ops::Range;

use bespoke_boundary::{Exchange, Function, Verdict};
use bespoke_record::Batch;

use super::emit::{EmitError, Emitter, reason};
use super::{Stage, Version};
use crate::dead_letter::Kind;
use crate::log::{LogError, Session};
use crate::module::{Fault, FaultKind};
use crate::worker::Stop;

/// A record that cannot be handled: its index in the batch, and why.
pub(super) type Bad = (usize, Kind, String);

/// Records of a batch that were called with.
#[derive(Clone, Copy)]
pub(super) struct Called<'a> {
    pub batch: &'a Batch,
    /// Those that were tried, of which not all were pushed.
    pub range: &'a Range<usize>,
    /// Those without a value.
    pub tombstones: &'a [usize],
}

/// What is to be written.
#[derive(Default)]
pub(super) struct Answered {
    /// By output of the stage.
    pub emitters: Vec<(usize, Emitter)>,
    /// Records that the module dropped.
    pub dropped: u64,
    /// Records that it rejected, or whose answers have no key.
    pub bad: Vec<Bad>,
}

/// Makes records of the answers that are in the exchange. Either all of the answer counts, or nothing.
pub(super) fn answered(
    stage: &Stage,
    version: &Version,
    exchange: &mut Exchange,
    session: &dyn Session,
    called: Called<'_>,
) -> Result<Result<Answered, Fault>, Stop> {
    let made = match version.function() {
        Function::Process => of_batch(stage, version, exchange, called)?,
        Function::Analyze if exchange.is_empty() => Answered::default(),
        Function::Analyze => match rows(stage, version, exchange, called)? {
            Ok(emitters) => Answered { emitters, ..Answered::default() },
            Err(fault) => return Ok(Err(fault)),
        },
    };
    let too_large = made.emitters.iter().find_map(|(output, e)| too_large(stage, version, session, *output, e));
    Ok(too_large.map_or(Ok(made), Err))
}

/// `process`: one answer per record, tombstones in their places.
fn of_batch(
    stage: &Stage,
    version: &Version,
    exchange: &mut Exchange,
    Called { batch, tombstones, .. }: Called<'_>,
) -> Result<Answered, Stop> {
    let output = version.outputs[0];
    let destination = &stage.outputs[output];
    let mut bad: Vec<Bad> = Vec::new();
    for (index, verdict) in exchange.indices().zip(&exchange.answers().verdicts) {
        if let Some(reason) = reason(exchange.answers(), *verdict) {
            bad.push((index, Kind::Rejected, reason));
        }
    }
    let records = exchange.len() + tombstones.len();
    let mut emitter = stage.emitter(version, destination, exchange.take_arena(), records).map_err(full)?;
    let framing = destination.frame.prefix().len();
    let mut tombstones = tombstones.iter().peekable();
    let mut dropped = 0;
    for (index, verdict) in exchange.indices().zip(&exchange.answers().verdicts) {
        while let Some(earlier) = tombstones.next_if(|t| **t < index) {
            emitter.tombstone(batch, *earlier).map_err(full)?;
        }
        match *verdict {
            Verdict::Value(value) => match emitter.answer(value, framing, destination.key.as_ref(), (batch, index)) {
                Ok(()) => {}
                Err(EmitError::Key(error)) => bad.push((index, Kind::Key, error.to_string())),
                Err(error) => return Err(full(error)),
            },
            Verdict::Dropped => dropped += 1,
            Verdict::Rejected(_) => {}
        }
    }
    for rest in tombstones {
        emitter.tombstone(batch, *rest).map_err(full)?;
    }
    Ok(Answered { emitters: vec![(output, emitter)], dropped, bad })
}

/// `analyze`: the rows of each output that has any, with the newest timestamp of the batch. A row without a key is
/// an answer that cannot be used, like any other that the module got wrong.
fn rows(
    stage: &Stage,
    version: &Version,
    exchange: &mut Exchange,
    Called { batch, range, .. }: Called<'_>,
) -> Result<Result<Vec<(usize, Emitter)>, Fault>, Stop> {
    let newest_ms = batch.entries()[range.clone()].iter().map(|e| e.timestamp_ms).max().unwrap_or_default();
    let outputs = exchange.answers().outputs.clone();
    let mut arena = exchange.take_arena();
    let last = outputs.len().saturating_sub(1);
    let mut emitters = Vec::new();
    for (output, rows) in outputs.iter().enumerate() {
        // All outputs were lifted into one arena: the last takes it, those before it get a copy.
        let bytes = match (rows.is_empty(), output == last) {
            (true, _) => continue,
            (false, true) => std::mem::take(&mut arena),
            (false, false) => arena.clone(),
        };
        let destination = &stage.outputs[version.outputs[output]];
        let mut emitter = stage.emitter(version, destination, bytes, rows.len()).map_err(full)?;
        let framing = destination.frame.prefix().len();
        for row in rows {
            match emitter.row(*row, framing, destination.key.as_ref(), newest_ms) {
                Ok(()) => {}
                Err(EmitError::Key(error)) => {
                    let reason = format!("analyze: a row for topic `{}` cannot be keyed: {error}", destination.topic);
                    return Ok(Err(Fault { kind: FaultKind::Answer, reason }));
                }
                Err(error) => return Err(full(error)),
            }
        }
        emitters.push((version.outputs[output], emitter));
    }
    Ok(Ok(emitters))
}

/// A record that the log would not take is an answer that cannot be used.
fn too_large(
    stage: &Stage,
    version: &Version,
    session: &dyn Session,
    output: usize,
    emitter: &Emitter,
) -> Option<Fault> {
    let topic = &stage.outputs[output].topic;
    let limit = session.max_record_bytes(topic);
    let bytes = emitter.larger_than(limit)?;
    let function = version.function().name();
    let reason =
        format!("{function}: a record of {bytes} bytes for topic `{topic}` is larger than the limit of {limit} bytes");
    Some(Fault { kind: FaultKind::Answer, reason })
}

/// A batch that is full is too much for the log.
pub(super) fn full(error: impl std::error::Error + Send + Sync + 'static) -> Stop {
    Stop::Log(LogError::Store { path: "the step".to_owned(), source: Box::new(error) })
}
