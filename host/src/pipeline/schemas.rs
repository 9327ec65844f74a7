//! Schemas of topics, and schemas by id: the registry behind a cache.

use std::collections::HashMap;
use std::sync::{Arc, PoisonError, RwLock};
use std::time::{Duration, Instant};

use bespoke_boundary::Schema;

use crate::schema::{Compatibility, Registry, RegistryError};
use crate::stage::Schemas;

/// A schema and the id under which the registry knows it.
#[derive(Clone, Debug)]
pub struct TopicSchema {
    /// The id that is written in front of every value.
    pub id: u32,
    /// The schema.
    pub schema: Arc<Schema>,
}

/// The registry, with what was asked of it before.
pub struct SchemaStore {
    registry: Arc<dyn Registry>,
    compatibility: Compatibility,
    known: RwLock<HashMap<u32, Known>>,
}

#[derive(Clone)]
enum Known {
    Schema(Arc<Schema>),
    /// It was not there, then.
    Missing(String, Instant),
}

/// How long an id that the registry does not know is not asked for again.
const ASK_AGAIN: Duration = Duration::from_secs(10);

impl SchemaStore {
    /// Nothing asked yet.
    #[must_use]
    pub fn new(registry: Arc<dyn Registry>, compatibility: Compatibility) -> Self {
        Self { registry, compatibility, known: RwLock::default() }
    }

    /// Makes sure that the registry has the schema for values of a topic.
    ///
    /// # Errors
    /// If it is not compatible with the last one, or the registry cannot be written.
    pub fn register(&self, topic: &str, json: &str) -> Result<TopicSchema, RegistryError> {
        let id = self.registry.register(&format!("{topic}-value"), json, self.compatibility)?;
        let schema = Schema::parse(json).map_err(|e| RegistryError::Schema(e.to_string()))?;
        Ok(TopicSchema { id, schema: Arc::new(schema) })
    }

    fn ask(&self, id: u32) -> Result<Arc<Schema>, String> {
        let json = self.registry.by_id(id).map_err(|e| e.to_string())?;
        let json = json.ok_or_else(|| format!("no schema has the id {id}"))?;
        Schema::parse(&json).map(Arc::new).map_err(|e| format!("schema {id}: {e}"))
    }
}

impl Schemas for SchemaStore {
    fn by_id(&self, id: u32) -> Result<Arc<Schema>, String> {
        let known = self.known.read().unwrap_or_else(PoisonError::into_inner).get(&id).cloned();
        match known {
            Some(Known::Schema(schema)) => return Ok(schema),
            Some(Known::Missing(why, when)) if when.elapsed() < ASK_AGAIN => return Err(why),
            _ => {}
        }
        let found = self.ask(id);
        let known = match &found {
            Ok(schema) => Known::Schema(schema.clone()),
            Err(why) => Known::Missing(why.clone(), Instant::now()),
        };
        self.known.write().unwrap_or_else(PoisonError::into_inner).insert(id, known);
        found
    }
}
