//! From bytes to a version that can go on trial: compiled, checked against the schemas in use, started, and called once.
//!
//! All of this happens on the thread of whoever offers, while the workers go on. What would hang, trap or want too much
//! memory at its first call, or cannot take the live one's state, does so here and is refused, and no worker hears of it.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use bespoke_boundary::{About, Exchange};
use bespoke_record::Batch;
use bytes::Bytes;

use super::{Director, Kept};
use crate::log::{Log, LogError};
use crate::module::{Fault, Instance, Limits, LoadError, Module, Sandbox};
use crate::stage::{Intake, Schemas, Stage, Unfit, Version, Writers};

/// Records of the dry call.
const DRY_RECORDS: i64 = 256;
/// How long a worker may take to tell its state: longer than most steps.
const PATIENCE: Duration = Duration::from_secs(3);

/// Where versions of one stage are made.
#[derive(Clone)]
pub struct Workshop {
    /// The engine.
    pub sandbox: Sandbox,
    /// What the stage's modules may use.
    pub limits: Limits,
    /// Where modules are kept, if they are.
    pub kept: Option<Kept>,
    /// Where the records of the dry call come from, if there is one.
    pub source: Option<Source>,
}

/// Where the records of a dry call come from.
#[derive(Clone)]
pub struct Source {
    /// The log.
    pub log: Arc<dyn Log>,
    /// The stage's group.
    pub group: String,
    /// Schemas by id.
    pub schemas: Arc<dyn Schemas>,
}

/// Why a module was refused.
#[derive(Debug, thiserror::Error)]
pub enum Refusal {
    /// It is no module.
    #[error(transparent)]
    Load(#[from] LoadError),
    /// It does not fit the stage.
    #[error(transparent)]
    Unfit(#[from] Unfit),
    /// It does not start.
    #[error("module `{module}` does not start: {fault}")]
    Start {
        /// Its file.
        module: String,
        /// What happened.
        fault: Fault,
    },
    /// It does not take the state.
    #[error("module `{module}` does not take the state of the live one: {fault}")]
    State {
        /// Its file.
        module: String,
        /// What happened.
        fault: Fault,
    },
    /// It keeps state, and the one before does not.
    #[error("module `{module}` keeps state, and there is no place for it: {source}")]
    NoPlace {
        /// Its file.
        module: String,
        /// What is missing.
        source: LogError,
    },
    /// It fails at records that the live one has handled.
    #[error("module `{module}` fails at records that the live one has handled: {fault}")]
    Dry {
        /// Its file.
        module: String,
        /// What happened.
        fault: Fault,
    },
}

// === impl Refusal ===

impl Refusal {
    /// Whether it fits and starts, and only what it was given showed that it is no good.
    #[must_use]
    pub fn is_of_calls(&self) -> bool {
        matches!(self, Self::State { .. } | Self::Dry { .. })
    }
}

// === impl Workshop ===

impl Workshop {
    /// Makes a version of these bytes, which are called `path` in messages. It is kept, whatever comes of it then.
    ///
    /// # Errors
    /// Why it cannot be tried.
    pub fn prepare(
        &self,
        director: &Director,
        path: &Path,
        bytes: &[u8],
        settings: Arc<[(String, String)]>,
    ) -> Result<Arc<Version>, Refusal> {
        // Workers tell it at a boundary of theirs, while the module is compiled.
        let (stage, live) = (director.stage(), director.live());
        let asked = live.module.is_stateful().then(|| director.ask_state());
        let module = Arc::new(Module::from_bytes(&self.sandbox, path, bytes, self.limits)?);
        let version = Version::compile(stage, director.next_number(), module, settings)?;
        version.check_successor(&live)?;
        let name = || version.module.name().to_owned();
        if version.module.is_stateful()
            && !live.module.is_stateful()
            && let Some(source) = &self.source
            // That brokers are away says nothing of the module.
            && let Err(source @ LogError::NoTopic(_)) = source.ensure_states(&stage.from)
        {
            return Err(Refusal::NoPlace { module: name(), source });
        }
        let state = asked.and_then(|asked| asked.wait(PATIENCE));
        let start = |fault| Refusal::Start { module: name(), fault };
        let mut instance = Instance::new(&version.module, &version.settings).map_err(start)?;
        if let Some(state) = &state {
            instance.restore(state).map_err(|fault| Refusal::State { module: name(), fault })?;
        }
        if let Err(fault) = self.dry_call(stage, &version, &mut instance) {
            // A record that breaks the live one too says nothing about this one.
            let is_worse = started(&live, state.as_ref())
                .map_or(true, |mut instance| self.dry_call(stage, &live, &mut instance).is_ok());
            if is_worse {
                return Err(Refusal::Dry { module: name(), fault });
            }
        }
        if let Some(kept) = &self.kept {
            kept.pin(&stage.name, &[live.module.digest(), version.module.digest()]);
            if let Err(error) = kept.keep(bytes) {
                tracing::warn!(%error, folder = %kept.dir().display(), "the module cannot be kept, so nobody can go back to it later");
            }
        }
        Ok(Arc::new(version))
    }

    /// Calls a version with records that were handled last. Records that are not to be had are nothing to call it with.
    fn dry_call(&self, stage: &Stage, version: &Version, instance: &mut Instance) -> Result<(), Fault> {
        let Some(source) = &self.source else { return Ok(()) };
        let (partition, batch) = match source.last(&stage.from) {
            Ok(Some(found)) => found,
            Ok(None) => return Ok(()),
            Err(error) => {
                tracing::debug!(stage = stage.name, %error, "no records to try a module with");
                return Ok(());
            }
        };
        let mut writers = Writers::new(source.schemas.clone(), stage.reader.clone());
        let mut exchange = Exchange::default();
        exchange.begin(&version.plan, batch.len());
        let about = About { batch: &batch, topic: &stage.from, partition };
        // What is no record of its schema is a dead letter, and no module sees it.
        let bad = &mut Vec::new();
        let mut intake = Intake { exchange: &mut exchange, writers: &mut writers, plan: &version.plan, about, bad };
        let _ = intake.take(0..batch.len());
        if exchange.is_empty() {
            return Ok(());
        }
        instance.call(&mut exchange, &version.plan, batch.arena()).map(|_| ())
    }
}

/// An instance with a state.
fn started(version: &Version, state: Option<&Bytes>) -> Result<Instance, Fault> {
    let mut instance = Instance::new(&version.module, &version.settings)?;
    if let Some(state) = state {
        instance.restore(state)?;
    }
    Ok(instance)
}

// === impl Source ===

impl Source {
    /// Makes a place for states of the group.
    fn ensure_states(&self, topic: &str) -> Result<(), LogError> {
        let partitions = self.log.topic(topic)?.map_or(1, |topic| topic.partitions.len() as u32);
        self.log.ensure_states(&self.group, partitions)
    }

    /// The last records that the group has read, of the partition of which it has read most.
    fn last(&self, topic: &str) -> Result<Option<(u32, Batch)>, LogError> {
        let positions = self.log.committed(&self.group, topic)?;
        let Some((partition, position)) = positions.into_iter().max_by_key(|(_, position)| *position) else {
            return Ok(None);
        };
        let from = position.saturating_sub(DRY_RECORDS).max(0);
        let batch = self.log.read(topic, partition, from, DRY_RECORDS as usize)?;
        // Not those that come after: the live one has not seen them yet.
        let seen = batch.entries().partition_point(|entry| entry.offset < position);
        Ok((seen > 0).then(|| (partition, batch.slice(0..seen))))
    }
}
