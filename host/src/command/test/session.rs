//! A case as a log: hands out its calls, and keeps what came of them once it is committed.

use std::collections::{BTreeMap, VecDeque};
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use bespoke_record::Batch;
use bytes::Bytes;

use super::case::Case;
use crate::command::alone::Handed;
use crate::dead_letter::DeadLetter;
use crate::format::{JsonStyle, write_json};
use crate::log::{Commit, Event, LogError, Session};
use crate::module::VirtualTime;
use crate::schema::framing;
use crate::stage::Destination;

/// What came of a case.
#[derive(Default)]
pub(super) struct Outcome {
    /// The records of each output, as JSON, in the order of the module's outputs.
    pub lines: Vec<Vec<String>>,
    pub letters: Vec<Letter>,
    /// The state of each partition at the end.
    pub states: BTreeMap<u32, Bytes>,
    /// Why the stage ended before the last record.
    pub stopped: Option<String>,
}

/// A record that could not be handled.
pub(super) struct Letter {
    /// Which one of the input, from 0.
    pub index: usize,
    pub kind: String,
    pub reason: String,
}

/// The log of one life of the module.
pub(super) struct CaseSession<'c> {
    case: &'c Case,
    outputs: &'c [Destination],
    time: &'c VirtualTime,
    /// Set when there is nothing more to hand out.
    is_over: &'c AtomicBool,
    to_assign: VecDeque<u32>,
    calls: VecDeque<(u32, Batch)>,
    handed: Handed<(u32, Batch)>,
    /// Of the open step.
    lines: Vec<Vec<String>>,
    letters: Vec<Letter>,
    outcome: &'c mut Outcome,
}

impl<'c> CaseSession<'c> {
    /// What was committed goes to the outcome, whose states are where the module begins.
    pub fn new(
        case: &'c Case,
        outputs: &'c [Destination],
        calls: &[(u32, Batch)],
        time: &'c VirtualTime,
        is_over: &'c AtomicBool,
        outcome: &'c mut Outcome,
    ) -> Self {
        outcome.lines.resize_with(outputs.len(), Vec::new);
        Self {
            case,
            outputs,
            time,
            is_over,
            to_assign: case.partitions.iter().copied().collect(),
            calls: calls.iter().cloned().collect(),
            handed: Handed::default(),
            lines: vec![Vec::new(); outputs.len()],
            letters: Vec::new(),
            outcome,
        }
    }
}

/// What only a bug of the host can be wrong with.
fn impossible(what: String) -> LogError {
    LogError::Store { path: "the case".to_owned(), source: what.into() }
}

impl Session for CaseSession<'_> {
    fn poll(&mut self, _: usize, _: Duration) -> Result<Event, LogError> {
        if let Some(partition) = self.to_assign.pop_front() {
            let next = self.handed.first().into_iter().chain(&self.calls).find(|(of, _)| *of == partition);
            let position = next.and_then(|(_, batch)| batch.entries().first()).map_or(0, |entry| entry.offset);
            let state = self.outcome.states.get(&partition).cloned();
            return Ok(Event::Assigned { partition, position, note: None, state });
        }
        let Some(call) = self.handed.again().or_else(|| self.calls.pop_front()) else {
            self.is_over.store(true, Ordering::Relaxed);
            return Ok(Event::Idle);
        };
        self.handed.out(&call);
        let (partition, batch) = call;
        // It is as late as the newest record.
        if let Some(newest_ms) = batch.entries().iter().map(|entry| entry.timestamp_ms).max() {
            self.time.reach(newest_ms);
        }
        Ok(Event::Records { partition, batch })
    }

    fn append(&mut self, topic: &str, records: &Batch) -> Result<(), LogError> {
        let output = self.outputs.iter().position(|output| output.topic == topic);
        let output = output.ok_or_else(|| LogError::NoTopic(topic.to_owned()))?;
        for record in records.iter() {
            let mut line = Vec::new();
            match record.value() {
                None => line.extend_from_slice(b"null"),
                Some(value) => {
                    let (_, datum) = framing::split(value).map_err(|e| impossible(e.to_string()))?;
                    let written = write_json(&self.outputs[output].schema, datum, JsonStyle::Plain, &mut line);
                    // Text that is not UTF-8 passes through a module that does not name it.
                    written.map_err(|e| impossible(format!("a record of {topic} cannot be shown: {e}")))?;
                }
            }
            self.lines[output].push(String::from_utf8_lossy(&line).into_owned());
        }
        Ok(())
    }

    fn divert(&mut self, _: &str, letters: &Batch) -> Result<(), LogError> {
        for letter in letters.iter().filter_map(DeadLetter::of) {
            let place = letter.origin.as_ref().map(|origin| (origin.partition, origin.offset));
            let index = self.case.places.iter().position(|other| Some(*other) == place);
            let index = index.ok_or_else(|| impossible(format!("a dead letter of no record: {}", letter.reason)))?;
            let (kind, reason) = (letter.kind.into_owned(), letter.reason.into_owned());
            self.letters.push(Letter { index, kind, reason });
        }
        Ok(())
    }

    fn commit(&mut self, commit: Commit<'_>) -> Result<(), LogError> {
        for (all, new) in self.outcome.lines.iter_mut().zip(&mut self.lines) {
            all.append(new);
        }
        self.outcome.letters.append(&mut self.letters);
        self.outcome.states.extend(commit.states.iter().cloned());
        self.handed.commit();
        Ok(())
    }

    fn abort(&mut self) -> Result<(), LogError> {
        self.lines.iter_mut().for_each(Vec::clear);
        self.letters.clear();
        self.handed.abort();
        self.to_assign = self.case.partitions.iter().copied().collect();
        Ok(())
    }

    fn attend(&mut self) -> Result<bool, LogError> {
        Ok(true)
    }

    fn max_record_bytes(&self, _: &str) -> usize {
        usize::MAX
    }
}
