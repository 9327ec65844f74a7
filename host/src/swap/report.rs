//! What hosts say of their stages: the topic `<pipeline>.status`, one JSON object a record, kept for a day.
//!
//! Every host writes what its stages run when that changes, and now and then all the same, so that one can tell a host that
//! is there from one that is not. What a shadow does differently is part of it. No part of any step: a report may be late,
//! and nothing depends on it. Written by [`Reporter`], read by `host modules status`.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use bespoke_record::BatchBuilder;
use serde::{Deserialize, Serialize};

use super::ledger::{now_ms, this_host};
use super::{Cause, Differences, Director, Phase, Side, Trial};
use crate::log::{self, Commit, Log, LogError, Member, NewTopic, Retention, Session};

/// A host that has nothing new to say says it again after this time.
const EVERY: Duration = Duration::from_secs(10);
/// How often is looked for something new.
const LOOK: Duration = Duration::from_millis(200);
/// A host of which nothing was heard for so long may be gone.
pub const SILENT_MS: i64 = 3 * EVERY.as_millis() as i64;
/// A day.
const KEPT_MS: i64 = 86_400_000;
/// So many of the newest reports are read: those of a minute or more, of some hundred stages.
const NEWEST: i64 = 5_000;
const TAKE_RECORDS: usize = 1_000;

/// What one host says of one stage.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Report {
    /// When, in milliseconds since the epoch.
    pub at_ms: i64,
    /// The host: its machine and process.
    pub host: String,
    /// The stage.
    pub stage: String,
    /// The digest of the live module, and the name of its file.
    pub module: String,
    /// The name of its file.
    pub file: String,
    /// What goes on.
    pub phase: PhaseName,
    /// How many workers there are, and how many have the live module already.
    pub workers: usize,
    /// How many of them have the live module already.
    pub switched: usize,
    /// The module on trial, or the one that may come back.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub other: Option<Other>,
}

/// What goes on in a stage.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum PhaseName {
    /// Nothing.
    Steady,
    /// A module is on trial.
    Trial,
    /// A shadow is on trial, without an end.
    Shadow,
    /// The module before may come back.
    Guard,
    /// The host has ended.
    Ended,
}

/// A module beside the live one.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Other {
    /// Its digest.
    pub module: String,
    /// The name of its file.
    pub file: String,
    /// What led to it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cause: Option<Cause>,
    /// Batches that both handled.
    pub batches: u64,
    /// What the live module did with them.
    pub live: Side,
    /// What this one did with them.
    pub candidate: Side,
    /// How what they answered differs.
    pub differences: Differences,
}

/// Writes reports, on a thread of its own.
pub struct Reporter {
    topic: String,
    log: Arc<dyn Log>,
    directors: Vec<Arc<Director>>,
    host: String,
    /// By stage what was said last, and when.
    said: BTreeMap<String, (Report, Instant)>,
    session: Option<Box<dyn Session>>,
}

// === impl Report ===

impl Report {
    /// The topic of a pipeline.
    #[must_use]
    pub fn topic(pipeline: &str) -> String {
        format!("{pipeline}.status")
    }

    /// The topic as it is made.
    #[must_use]
    pub fn new_topic(topic: &str) -> NewTopic {
        let retention = Retention { age_ms: Some(KEPT_MS), bytes: None };
        NewTopic { name: topic.to_owned(), partitions: 1, retention }
    }

    /// How a stage is in this process.
    #[must_use]
    pub fn of(director: &Director, host: &str) -> Self {
        let status = director.status();
        let (phase, other) = match status.phase {
            Phase::Steady => (PhaseName::Steady, None),
            Phase::Trial { candidate, cause, trial, tally, differences, .. } => {
                let phase = if trial == Trial::Endless { PhaseName::Shadow } else { PhaseName::Trial };
                let other = Other {
                    module: candidate.module.digest().to_owned(),
                    file: candidate.module.name().to_owned(),
                    cause: Some(cause),
                    batches: tally.batches,
                    live: tally.live,
                    candidate: tally.candidate,
                    differences,
                };
                (phase, Some(other))
            }
            Phase::Guard { before, live } => {
                let other = Other {
                    module: before.module.digest().to_owned(),
                    file: before.module.name().to_owned(),
                    cause: None,
                    batches: 0,
                    live,
                    candidate: Side::default(),
                    differences: Differences::default(),
                };
                (PhaseName::Guard, Some(other))
            }
        };
        Self {
            at_ms: now_ms(),
            host: host.to_owned(),
            stage: director.stage().name.clone(),
            module: status.live.module.digest().to_owned(),
            file: status.live.module.name().to_owned(),
            phase,
            workers: status.workers,
            switched: status.switched,
            other,
        }
    }

    /// The last report of each host on each stage.
    ///
    /// # Errors
    /// If the log cannot be read.
    pub fn read(log: &dyn Log, topic: &str) -> Result<Vec<Self>, LogError> {
        let Some(info) = log.topic(topic)? else { return Ok(Vec::new()) };
        let mut last: BTreeMap<(String, String), Self> = BTreeMap::new();
        for partition in info.partitions {
            let offsets = partition.start.max(partition.end - NEWEST)..partition.end;
            for batch in log::batches(log, topic, partition.partition, offsets, TAKE_RECORDS) {
                for report in batch?.iter().filter_map(|r| serde_json::from_slice::<Self>(r.value()?).ok()) {
                    last.insert((report.stage.clone(), report.host.clone()), report);
                }
            }
        }
        Ok(last.into_values().collect())
    }

    /// Whether another one says the same, but for numbers that grow.
    fn is_like(&self, other: &Self) -> bool {
        let names = |report: &Self| report.other.as_ref().map(|other| other.module.clone());
        (&self.module, self.phase, self.workers, self.switched, names(self))
            == (&other.module, other.phase, other.workers, other.switched, names(other))
    }
}

// === impl Reporter ===

impl Reporter {
    /// For stages of this process.
    #[must_use]
    pub fn new(pipeline: &str, log: Arc<dyn Log>, directors: Vec<Arc<Director>>) -> Self {
        let (said, session) = Default::default();
        Self { topic: Report::topic(pipeline), log, directors, host: this_host(), said, session }
    }

    /// Reports until the flag is set, and a last time then.
    ///
    /// # Errors
    /// If there can be no thread.
    pub fn start(mut self, done: Arc<AtomicBool>) -> std::io::Result<JoinHandle<()>> {
        std::thread::Builder::new().name("status".to_owned()).spawn(move || {
            while !done.load(Ordering::Relaxed) {
                self.look(false);
                std::thread::sleep(LOOK);
            }
            self.look(true);
        })
    }

    fn look(&mut self, is_end: bool) {
        let mut reports = Vec::new();
        for director in &self.directors {
            let mut report = Report::of(director, &self.host);
            let said = self.said.get(&report.stage);
            let is_new = said.is_none_or(|(said, when)| !said.is_like(&report) || when.elapsed() >= EVERY);
            if !is_new && !is_end {
                continue;
            }
            tell_shadow(&report, said.map(|(said, _)| said), is_end);
            if is_end {
                report.phase = PhaseName::Ended;
            }
            self.said.insert(report.stage.clone(), (report.clone(), Instant::now()));
            reports.push(report);
        }
        if let Err(error) = self.write(&reports) {
            // The next report is as good.
            tracing::debug!(topic = self.topic, %error, "not reported");
            self.session = None;
        }
    }

    fn write(&mut self, reports: &[Report]) -> Result<(), LogError> {
        if reports.is_empty() {
            return Ok(());
        }
        let full = |error: bespoke_record::Full| LogError::Store { path: self.topic.clone(), source: Box::new(error) };
        let mut records = BatchBuilder::new();
        for report in reports {
            // It has only texts and numbers, which JSON always takes.
            let value = serde_json::to_vec(report).unwrap_or_default();
            records.push(Some(report.stage.as_bytes()), Some(&value), [], report.at_ms).map_err(full)?;
        }
        let records = records.finish();
        if self.session.is_none() {
            // In no step: it reads nothing, and what it writes hangs together with nothing.
            let member = Member { group: self.topic.clone(), topic: None, worker: 0, workers: 1 };
            self.session = Some(self.log.join(member)?);
        }
        let Some(session) = &mut self.session else { return Ok(()) };
        session.append(&self.topic, &records)?;
        session.commit(Commit::default())
    }
}

/// Says in the log what a shadow does differently, if it did anything since the last time.
fn tell_shadow(report: &Report, before: Option<&Report>, is_end: bool) {
    let Some(other) = report.other.as_ref().filter(|_| report.phase == PhaseName::Shadow) else { return };
    let known = before.and_then(|before| before.other.as_ref()).map_or(0, |other| other.batches);
    if other.batches == known && !is_end {
        return;
    }
    let nanos = |side: &Side| side.nanos_per_record().unwrap_or_default().round() as u64;
    tracing::info!(
        stage = report.stage,
        module = super::director::short(&other.module),
        records = other.candidate.records,
        same = other.differences.same(),
        different = other.differences.count(),
        how = other.differences.summary(),
        errors = other.candidate.errors,
        errors_live = other.live.errors,
        ns_per_record = nanos(&other.candidate),
        ns_per_record_live = nanos(&other.live),
        "shadow"
    );
}
