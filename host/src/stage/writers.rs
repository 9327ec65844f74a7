//! Which schema a record was written with, and how to bring it to the reader's.

use std::collections::HashMap;
use std::sync::Arc;

use bespoke_boundary::{Resolution, Schema};

use crate::schema::framing::SchemaId;

/// Where schemas are found by what records call them.
pub trait Schemas: Send + Sync {
    /// The schema that records call so.
    ///
    /// # Errors
    /// [`NoSchema`].
    fn by_id(&self, id: SchemaId) -> Result<Arc<Schema>, NoSchema>;
}

/// Why there is no schema, in words.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum NoSchema {
    /// Nobody knows it, or it cannot be used: its records are dead letters.
    Unknown(String),
    /// Nobody can be asked at the moment: its records must wait.
    Unavailable(String),
}

/// The plans for all writer schemas that were seen, for one reader schema.
pub struct Writers {
    schemas: Arc<dyn Schemas>,
    reader: Arc<Schema>,
    /// None reads records as they are; an error is for ever.
    plans: Vec<Result<Option<Resolution>, String>>,
    known: HashMap<SchemaId, usize>,
    /// Most records are of the schema of the one before.
    last: Option<(SchemaId, usize)>,
}

impl Writers {
    /// None seen yet.
    #[must_use]
    pub fn new(schemas: Arc<dyn Schemas>, reader: Arc<Schema>) -> Self {
        Self { schemas, reader, plans: Vec::new(), known: HashMap::new(), last: None }
    }

    /// How to read records of the writer schema with this id: none as they are.
    ///
    /// # Errors
    /// Why they cannot be read.
    pub fn get(&mut self, id: SchemaId) -> Result<Option<&Resolution>, NoSchema> {
        let index = match self.last {
            Some((last, index)) if last == id => index,
            _ => self.find(id)?,
        };
        self.last = Some((id, index));
        self.plans[index].as_ref().map(Option::as_ref).map_err(|why| NoSchema::Unknown(why.clone()))
    }

    fn find(&mut self, id: SchemaId) -> Result<usize, NoSchema> {
        if let Some(index) = self.known.get(&id) {
            return Ok(*index);
        }
        let writer = self.schemas.by_id(id)?;
        let plan = Resolution::plan(&writer, &self.reader)
            .map(|plan| (!plan.is_identity()).then_some(plan))
            .map_err(|e| format!("schema {id} cannot be read with the topic's schema: {e}"));
        self.plans.push(plan);
        self.known.insert(id, self.plans.len() - 1);
        Ok(self.plans.len() - 1)
    }

    /// The schema that records are brought to.
    #[must_use]
    pub fn reader(&self) -> &Arc<Schema> {
        &self.reader
    }
}
