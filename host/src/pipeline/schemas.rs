//! Schemas of topics, and schemas by id: the registry behind a cache.
//!
//! What the registry knows once is known for ever. What it does not know is asked again after a while. That it cannot be
//! asked is nothing to remember: at start it is waited for, and later whoever needs a schema that is not known yet waits
//! with its records, while all others go on.

use std::collections::HashMap;
use std::sync::{Arc, PoisonError, RwLock};
use std::time::{Duration, Instant};

use bespoke_boundary::{Resolution, Schema};

use crate::schema::framing::{self, Form, Frame, SchemaId};
use crate::schema::{Registered, Registry, RegistryError, SubjectNames};
use crate::shutdown::Shutdown;
use crate::stage::{NoSchema, Schemas};

/// A schema of a topic.
#[derive(Clone, Debug)]
pub struct TopicSchema {
    /// What the registry calls it. None if it need not know it: the topic is only read, or nothing is to be run.
    pub registered: Option<Registered>,
    /// The schema.
    pub schema: Arc<Schema>,
}

/// What is done about the registry while a pipeline is brought together.
#[derive(Clone)]
pub enum Purpose {
    /// Nothing is registered, and nothing is waited for.
    Check,
    /// Schemas get ids. The registry is waited for, until someone asks to stop.
    Run(Shutdown),
}

/// How schemas are named.
#[derive(Clone, Copy, Debug, Default)]
pub struct Naming {
    /// The subjects of the registry.
    pub subjects: SubjectNames,
    /// How records name their schema.
    pub form: Form,
}

/// The registry, with what was asked of it before.
pub struct SchemaStore {
    registry: Arc<dyn Registry>,
    naming: Naming,
    purpose: Purpose,
    known: RwLock<HashMap<SchemaId, Known>>,
}

#[derive(Clone)]
enum Known {
    Schema(Arc<Schema>),
    /// It was not there, then.
    Missing(String, Instant),
}

/// How long an id that the registry does not know is not asked for again.
const ASK_AGAIN: Duration = Duration::from_secs(10);
/// Bytes that are no records can look like ever new ids; so many are remembered before they are forgotten.
const MAX_MISSING: usize = 10_000;
/// The shortest and the longest pause before a registry that does not answer is asked again.
const WAIT: (Duration, Duration) = (Duration::from_millis(250), Duration::from_secs(8));

// === impl TopicSchema ===

impl TopicSchema {
    /// How values of the topic name the schema. Where it has no id nothing will be written, and any frame will do.
    ///
    /// # Errors
    /// [`RegistryError::NoGuid`].
    pub fn frame(&self, form: Form) -> Result<Frame, RegistryError> {
        match self.registered {
            Some(registered) => Frame::new(form, registered).ok_or(RegistryError::NoGuid(registered.id)),
            None => Ok(Frame::Prefix(framing::prefix(0))),
        }
    }
}

// === impl SchemaStore ===

impl SchemaStore {
    /// Nothing asked yet.
    #[must_use]
    pub fn new(registry: Arc<dyn Registry>, naming: Naming, purpose: Purpose) -> Self {
        Self { registry, naming, purpose, known: RwLock::default() }
    }

    /// How records name their schema.
    #[must_use]
    pub fn form(&self) -> Form {
        self.naming.form
    }

    /// The schema for values of a topic that is written: the registry has it, or gets it if that is allowed.
    ///
    /// # Errors
    /// If it is not compatible with the versions before, is not registered and may not be, or the registry cannot be used.
    pub fn written(&self, topic: &str, json: &str) -> Result<TopicSchema, RegistryError> {
        let schema = parse(json)?;
        let subject = self.naming.subjects.of(topic, &schema);
        let registered = match &self.purpose {
            Purpose::Check => self.registry.check(&subject, json)?,
            Purpose::Run(stop) => Some(patiently(stop, || self.registry.register(&subject, json))?),
        };
        Ok(TopicSchema { registered, schema })
    }

    /// The schema with which a topic is read that nobody here writes. The newest version that the registry has for it must
    /// be readable with it; that some of its records may not be is only told.
    ///
    /// # Errors
    /// If it is not, or the registry cannot be used.
    pub fn read(&self, topic: &str, json: &str) -> Result<TopicSchema, RegistryError> {
        let schema = parse(json)?;
        let subject = self.naming.subjects.of(topic, &schema);
        if let Some((written, text)) = self.ask(|| self.registry.latest(&subject))? {
            let id = written.id;
            let plan = Resolution::plan(&*parse(&text)?, &schema).map_err(|e| {
                let why = e.to_string();
                RegistryError::Unreadable { subject: subject.clone(), id, why }
            })?;
            for gap in plan.gaps() {
                tracing::warn!(topic, subject, id, gap, "some records cannot be read with the topic's schema");
            }
        }
        Ok(TopicSchema { registered: None, schema })
    }

    /// The newest schema of a topic of which nothing is known here.
    ///
    /// # Errors
    /// If the registry cannot be used, or what it has is no schema.
    pub fn latest(&self, topic: &str) -> Result<Option<TopicSchema>, RegistryError> {
        let Some(subject) = self.naming.subjects.of_topic(topic) else { return Ok(None) };
        let Some((registered, json)) = self.ask(|| self.registry.latest(&subject))? else { return Ok(None) };
        Ok(Some(TopicSchema { registered: Some(registered), schema: parse(&json)? }))
    }

    fn ask<T>(&self, question: impl Fn() -> Result<T, RegistryError>) -> Result<T, RegistryError> {
        match &self.purpose {
            Purpose::Check => question(),
            Purpose::Run(stop) => patiently(stop, question),
        }
    }

    fn find(&self, id: SchemaId) -> Result<Arc<Schema>, NoSchema> {
        let found = self.registry.by_id(id).and_then(|json| json.as_deref().map(parse).transpose());
        match found {
            Ok(Some(schema)) => Ok(schema),
            Ok(None) => Err(NoSchema::Unknown(format!("no schema has the id {id}"))),
            Err(RegistryError::Schema(what)) => Err(NoSchema::Unknown(format!("schema {id}: {what}"))),
            // Whatever else is wrong is wrong with the registry, and no fault of the record.
            Err(error) => Err(NoSchema::Unavailable(error.to_string())),
        }
    }
}

impl Schemas for SchemaStore {
    fn by_id(&self, id: SchemaId) -> Result<Arc<Schema>, NoSchema> {
        let known = self.known.read().unwrap_or_else(PoisonError::into_inner).get(&id).cloned();
        match known {
            Some(Known::Schema(schema)) => return Ok(schema),
            Some(Known::Missing(why, when)) if when.elapsed() < ASK_AGAIN => return Err(NoSchema::Unknown(why)),
            _ => {}
        }
        let found = self.find(id);
        let known = match &found {
            Ok(schema) => Known::Schema(schema.clone()),
            Err(NoSchema::Unknown(why)) => Known::Missing(why.clone(), Instant::now()),
            Err(NoSchema::Unavailable(_)) => return found,
        };
        let mut all = self.known.write().unwrap_or_else(PoisonError::into_inner);
        if all.len() >= MAX_MISSING {
            all.retain(|_, known| matches!(known, Known::Schema(_)));
        }
        all.insert(id, known);
        found
    }
}

fn parse(json: &str) -> Result<Arc<Schema>, RegistryError> {
    Schema::parse(json).map(Arc::new).map_err(|e| RegistryError::Schema(e.to_string()))
}

/// Asks until there is an answer, or someone asks to stop.
fn patiently<T>(stop: &Shutdown, question: impl Fn() -> Result<T, RegistryError>) -> Result<T, RegistryError> {
    let mut wait = WAIT.0;
    loop {
        match question() {
            Err(error) if error.is_passing() && !stop.is_requested() => {
                tracing::warn!(%error, wait_ms = wait.as_millis() as u64, "waiting for the schema registry");
                stop.wait(wait);
                wait = (wait * 2).min(WAIT.1);
            }
            answer => {
                if wait > WAIT.0 && answer.is_ok() {
                    tracing::info!("the schema registry answers");
                }
                return answer;
            }
        }
    }
}
