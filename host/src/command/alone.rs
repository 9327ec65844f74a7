//! A module without a pipeline: a stage whose topics are only names, and what a session without a log keeps.

use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;

use anyhow::{Context, Result};
use bespoke_boundary::{Schema, names, output_schema};

use crate::cli::failure::Usage;
use crate::module::Module;
use crate::schema::framing::{self, Frame, SchemaId};
use crate::stage::{Destination, NoSchema, OnError, Schemas, Stage};

/// What the one output is called of a module that has no names for its outputs.
pub(super) const OUTPUT: &str = "output";
/// Where dead letters go.
pub(super) const DEAD_LETTERS: &str = "dead letters";

/// What all schemas here are called.
const ID: u32 = 1;

/// The one schema of the input.
pub(super) struct OneSchema(pub Arc<Schema>);

/// Batches that were handed out since the last commit, in case the step is thrown away.
pub(super) struct Handed<B> {
    open: Vec<B>,
    again: VecDeque<B>,
}

/// The bytes before the datum of each record here.
pub(super) fn prefix() -> [u8; 5] {
    framing::prefix(ID)
}

/// A stage for this module that reads `from`. Outputs have the schemas that are `given` by their names, or those that the
/// module's types derive. Their topics are called as the module calls them, or [`OUTPUT`].
///
/// # Errors
/// If the module does not fit the schema, or a schema is given for what is no output.
pub(super) fn stage(
    module: &Module,
    from: &str,
    schema: &Arc<Schema>,
    given: &BTreeMap<String, Arc<Schema>>,
) -> Result<Stage> {
    let signature = module.signature();
    let frame = Frame::Prefix(prefix());
    let mut outputs = Vec::new();
    for (i, name) in signature.answer.outputs().iter().enumerate() {
        let topic = name.unwrap_or(OUTPUT).to_owned();
        let schema = match given.iter().find(|(given, _)| names::matches(given, &topic)) {
            Some((_, schema)) => schema.clone(),
            None => {
                let json = output_schema(signature, i, schema, &topic);
                Arc::new(Schema::parse(&json.with_context(|| format!("module `{}`", module.name()))?)?)
            }
        };
        outputs.push(Destination { name: name.map(str::to_owned), topic, schema, key: None, frame });
    }
    if let Some(other) = given.keys().find(|given| !outputs.iter().any(|to| names::matches(given, &to.topic))) {
        let known: Vec<_> = outputs.iter().map(|to| to.topic.as_str()).collect();
        let what = format!("there is no output `{other}`; module `{}` has {}", module.name(), known.join(", "));
        return Err(Usage::new(what).into());
    }
    Ok(Stage {
        name: module.name().to_owned(),
        from: from.to_owned(),
        reader: schema.clone(),
        outputs,
        dead_letters: DEAD_LETTERS.to_owned(),
        on_error: OnError::DeadLetter,
        max_dead_letters_in_a_row: 100,
        provenance: false,
        // There is no place for it.
        ledger: None,
    })
}

impl Schemas for OneSchema {
    fn by_id(&self, id: SchemaId) -> Result<Arc<Schema>, NoSchema> {
        if id == ID.into() { Ok(self.0.clone()) } else { Err(NoSchema::Unknown(format!("no schema has the id {id}"))) }
    }
}

// === impl Handed ===

impl<B> Default for Handed<B> {
    fn default() -> Self {
        Self { open: Vec::new(), again: VecDeque::new() }
    }
}

impl<B: Clone> Handed<B> {
    /// The next batch that is to be handed out again.
    pub fn again(&mut self) -> Option<B> {
        self.again.pop_front()
    }

    /// A batch is handed out.
    pub fn out(&mut self, batch: &B) {
        self.open.push(batch.clone());
    }

    /// The first batch of the open step.
    pub fn first(&self) -> Option<&B> {
        self.open.first().or(self.again.front())
    }

    /// ## Open => none
    /// The step has happened.
    pub fn commit(&mut self) {
        self.open.clear();
    }

    /// ## Open => again
    /// The step was thrown away: what was handed out, and what was about to be, comes in that order.
    pub fn abort(&mut self) {
        let mut again: VecDeque<B> = self.open.drain(..).collect();
        again.append(&mut self.again);
        self.again = again;
    }
}
