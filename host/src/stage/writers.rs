//! Which schema a record was written with, and how to bring it to the reader's.

use std::collections::HashMap;
use std::sync::Arc;

use bespoke_boundary::{Resolution, Schema};

/// Where schemas are found by the ids in front of values.
pub trait Schemas: Send + Sync {
    /// The schema with this id, or why there is none.
    ///
    /// # Errors
    /// In words for a dead letter.
    fn by_id(&self, id: u32) -> Result<Arc<Schema>, String>;
}

/// The plans for all writer schemas that were seen, for one reader schema.
pub struct Writers {
    schemas: Arc<dyn Schemas>,
    reader: Arc<Schema>,
    known: HashMap<u32, Result<Option<Resolution>, String>>,
}

impl Writers {
    /// None seen yet.
    #[must_use]
    pub fn new(schemas: Arc<dyn Schemas>, reader: Arc<Schema>) -> Self {
        Self { schemas, reader, known: HashMap::new() }
    }

    /// How to read records of the writer schema with this id: none as they are.
    ///
    /// # Errors
    /// Why they cannot be read; for a dead letter.
    pub fn get(&mut self, id: u32) -> Result<Option<&Resolution>, &str> {
        let (schemas, reader) = (&self.schemas, &self.reader);
        let plan = self.known.entry(id).or_insert_with(|| {
            let writer = schemas.by_id(id)?;
            let plan = Resolution::plan(&writer, reader)
                .map_err(|e| format!("schema {id} cannot be read with the topic's schema: {e}"))?;
            Ok((!plan.is_identity()).then_some(plan))
        });
        plan.as_ref().map(Option::as_ref).map_err(String::as_str)
    }

    /// The schema that records are brought to.
    #[must_use]
    pub fn reader(&self) -> &Arc<Schema> {
        &self.reader
    }
}
