//! A stage: one topic in, one module, one or more topics out.
//!
//! A [`Stage`] is what stays as it is while the host runs; a [`Version`] is one module for it, which can be swapped
//! ([`crate::swap`]). [`StageTask`] is the [`crate::worker::Task`] of one worker. It owns the instances of the module: one
//! for all partitions if the module keeps no state, else one per partition, so that the state moves with the partition. A
//! record that cannot be handled becomes a dead letter, alone: bytes that are not Avro before the module sees them, records
//! that the module rejects by its answer, and the one record that breaks a call, by the `search`.

mod answered;
mod candidate;
mod change;
mod emit;
mod instances;
mod intake;
mod joining;
mod key;
mod search;
mod task;
mod version;
mod writers;

use std::sync::Arc;

use bespoke_boundary::Schema;
use bespoke_record::Full;
use serde::Deserialize;

use crate::schema::framing::Frame;

pub use emit::{EmitError, Emitter};
pub(crate) use intake::Intake;
pub use key::{KeyError, KeyPlan};
pub use task::StageTask;
pub use version::{Unfit, Version};
pub use writers::{NoSchema, Schemas, Writers};

/// Everything about a stage that its workers share and no swap changes.
pub struct Stage {
    /// The stage's name.
    pub name: String,
    /// The topic that it reads.
    pub from: String,
    /// The schema that its records are brought to.
    pub reader: Arc<Schema>,
    /// Where its outputs go.
    pub outputs: Vec<Destination>,
    /// Where dead letters go.
    pub dead_letters: String,
    /// What is done with a record that cannot be handled.
    pub on_error: OnError,
    /// Dead letters in a row after which the module is taken to be broken.
    pub max_dead_letters_in_a_row: u64,
    /// Whether every record carries the module's digest.
    pub provenance: bool,
    /// The topic that says which module had which records, if that is written down.
    pub ledger: Option<String>,
}

/// Where the records of one output go.
#[derive(Debug)]
pub struct Destination {
    /// What modules call the output, if they have several.
    pub name: Option<String>,
    /// The topic.
    pub topic: String,
    /// The schema of its values.
    pub schema: Arc<Schema>,
    /// The fields that make the key. None keeps the key of the input, which only `process` can.
    pub key: Option<KeyPlan>,
    /// How its values name their schema.
    pub frame: Frame,
}

/// What is done with a record that cannot be handled.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum OnError {
    /// It is kept in the dead-letter topic, with the reason.
    #[default]
    DeadLetter,
    /// The stage stops before it.
    Stop,
    /// It is counted and forgotten.
    Drop,
}

/// The header that names the module of a record, if the stage is told to write it.
pub const MODULE_HEADER: &str = "bespoke.module";

// === impl Stage ===

impl Stage {
    /// An emitter for what a version answers, with the headers that all records of an output get.
    ///
    /// # Errors
    /// [`Full`], if the arena has no room for them.
    pub fn emitter(
        &self,
        version: &Version,
        destination: &Destination,
        arena: Vec<u8>,
        records: usize,
    ) -> Result<Emitter, Full> {
        let mut emitter = Emitter::new(arena, records);
        if let Some((name, value)) = destination.frame.header() {
            emitter.header(name, value)?;
        }
        if self.provenance {
            emitter.header(MODULE_HEADER, version.module.digest().as_bytes())?;
        }
        Ok(emitter)
    }
}
