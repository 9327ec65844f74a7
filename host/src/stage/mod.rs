//! A stage: one topic in, one module, one or more topics out.
//!
//! [`StageTask`] is the [`crate::worker::Task`] of one worker. It owns the instances of the module: one for all
//! partitions if the module keeps no state, else one per partition, so that the state moves with the partition. A record
//! that cannot be handled becomes a dead letter, alone: bytes that are not Avro before the module sees them, records that
//! the module rejects by its answer, and the one record that breaks a call, by the `search`.

mod emit;
mod key;
mod search;
mod task;
mod writers;

use std::sync::Arc;

use bespoke_boundary::Plan;
use bespoke_record::Full;
use serde::Deserialize;

use crate::module::Module;
use crate::schema::framing::Frame;

pub use emit::{EmitError, Emitter};
pub use key::{KeyError, KeyPlan};
pub use task::StageTask;
pub use writers::{NoSchema, Schemas, Writers};

/// Everything about a stage that its workers share.
pub struct Stage {
    /// The stage's name.
    pub name: String,
    /// The topic that it reads.
    pub from: String,
    /// The module.
    pub module: Arc<Module>,
    /// The module's settings.
    pub settings: Vec<(String, String)>,
    /// How records go through it.
    pub plan: Arc<Plan>,
    /// Where its outputs go, in the order of the module's outputs.
    pub outputs: Vec<Destination>,
    /// Where dead letters go.
    pub dead_letters: String,
    /// What is done with a record that cannot be handled.
    pub on_error: OnError,
    /// Dead letters in a row after which the module is taken to be broken.
    pub max_dead_letters_in_a_row: u64,
    /// Whether every record carries the module's digest.
    pub provenance: bool,
}

/// Where the records of one output go.
#[derive(Debug)]
pub struct Destination {
    /// The topic.
    pub topic: String,
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
    /// An emitter for an output, with the headers that all of its records get.
    ///
    /// # Errors
    /// [`Full`], if the arena has no room for them.
    pub fn emitter(&self, destination: &Destination, arena: Vec<u8>, records: usize) -> Result<Emitter, Full> {
        let mut emitter = Emitter::new(arena, records);
        if let Some((name, value)) = destination.frame.header() {
            emitter.header(name, value)?;
        }
        if self.provenance {
            emitter.header(MODULE_HEADER, self.module.digest().as_bytes())?;
        }
        Ok(emitter)
    }
}
