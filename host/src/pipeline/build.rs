//! From a configuration to stages, sinks and feeds that can run.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;

use bespoke_boundary::{Function, Mismatch, Plan, names, output_schema};

use super::open::TableStores;
use super::prepare::MissingTopic;
use super::schemas::{SchemaStore, TopicSchema};
use super::topics::{Topics, all_topics};
use crate::config::{self, Pipeline};
use crate::log::LogError;
use crate::module::{Instance, LoadError, Module, Sandbox};
use crate::schema::framing::Frame;
use crate::schema::{DirError, RegistryError, SchemaDir};
use crate::sink::{ColumnsError, RowPlan, Sink, Wanted, check_ttl, key_fields, table_spec, unordered};
use crate::stage::{Destination, KeyError, KeyPlan, Stage, Unfit, Version};
use crate::swap::{Control, Kept, Ledger};

/// A pipeline that is ready to run.
pub struct Built {
    /// The pipeline's name.
    pub name: String,
    /// Feeds, in the order of the file.
    pub feeds: Vec<BuiltFeed>,
    /// Stages, each after those that write what it reads.
    pub stages: Vec<BuiltStage>,
    /// Sinks.
    pub sinks: Vec<BuiltSink>,
    /// Topics by name, with that of the dead letters.
    pub topics: Topics,
    /// Schemas by id.
    pub schemas: Arc<SchemaStore>,
    /// The topic of dead letters.
    pub dead_letters: String,
    /// The engine of all modules.
    pub sandbox: Sandbox,
    /// Where modules are kept.
    pub kept: Kept,
    /// Where modules for the stages come from, if several hosts may run them.
    pub control: Option<Control>,
}

/// A stage and the version that it starts with.
pub struct BuiltStage {
    /// The stage.
    pub stage: Arc<Stage>,
    /// The module that it starts with.
    pub first: Arc<Version>,
    /// The bytes of that module.
    pub bytes: Vec<u8>,
    /// What the file says of it.
    pub config: config::Stage,
    /// The schema of the topic that it reads.
    pub from: TopicSchema,
}

/// A sink, what the file says of it, and the schema of the topic that it reads.
pub type BuiltSink = (Arc<Sink>, config::Sink, TopicSchema);

/// A feed and the schema of its topic.
pub struct BuiltFeed {
    /// What the file says.
    pub config: config::Feed,
    /// The schema of the topic.
    pub topic: TopicSchema,
    /// How to make the records' keys; none for records without.
    pub key: Option<KeyPlan>,
    /// How values name their schema.
    pub frame: Frame,
}

/// A pipeline that cannot run.
#[derive(Debug, thiserror::Error)]
pub enum BuildError {
    /// A schema file.
    #[error(transparent)]
    Dir(#[from] DirError),
    /// The registry.
    #[error("topic `{topic}`: {source}")]
    Registry {
        /// The topic whose schema it is.
        topic: String,
        /// What is wrong.
        source: RegistryError,
    },
    /// A schema that no file has.
    #[error("topic `{topic}`: there is no schema `{schema}` in `{dir}`; it has {known}")]
    NoSchema {
        /// The topic.
        topic: String,
        /// The name.
        schema: String,
        /// Where it was looked for.
        dir: String,
        /// What is there.
        known: String,
    },
    /// A topic whose schema nobody tells.
    #[error(
        "{role} `{name}` uses topic `{topic}`, whose schema is not known; add `\"{topic}\" = {{ schema = … }}` to [topics]"
    )]
    NoTopicSchema {
        /// Stage, sink or feed.
        role: &'static str,
        /// Its name.
        name: String,
        /// The topic.
        topic: String,
    },
    /// Stages that wait for each other.
    #[error("stage `{0}` reads what it writes itself, directly or by way of others")]
    Cycle(String),
    /// A module.
    #[error("stage `{stage}`: {source}")]
    Module {
        /// The stage.
        stage: String,
        /// What is wrong.
        source: LoadError,
    },
    /// A module and its schemas do not fit.
    #[error("stage `{stage}`: module `{module}`, {source}")]
    Mismatch {
        /// The stage.
        stage: String,
        /// The module.
        module: String,
        /// What does not fit.
        source: Mismatch,
    },
    /// The outputs that the module has and those that the file names.
    #[error("stage `{stage}`: {what}")]
    Outputs {
        /// The stage.
        stage: String,
        /// What does not fit.
        what: String,
    },
    /// A module that does not start.
    #[error("stage `{stage}`: module `{module}` does not start: {why}")]
    Start {
        /// The stage.
        stage: String,
        /// The module.
        module: String,
        /// What happened.
        why: String,
    },
    /// A key that cannot be made.
    #[error("{role} `{name}`, topic `{topic}`: {source}")]
    Key {
        /// Stage, feed or sink.
        role: &'static str,
        /// Its name.
        name: String,
        /// The topic.
        topic: String,
        /// What is wrong.
        source: KeyError,
    },
    /// Columns.
    #[error("sink `{sink}`: {source}")]
    Columns {
        /// The sink.
        sink: String,
        /// What is wrong.
        source: ColumnsError,
    },
    /// Topics that are missing, and that the pipeline is not to make.
    #[error("topics are missing, and this pipeline makes none (`create_topics = false`): {}", MissingTopic::names(.0))]
    NoTopics(Vec<MissingTopic>),
    /// The log.
    #[error(transparent)]
    Log(#[from] LogError),
}

/// Brings a pipeline together. Registers schemas, and starts every module once to see that it does.
///
/// # Errors
/// The first thing that is wrong.
pub fn build(
    config: &Pipeline,
    sandbox: &Sandbox,
    dir: &SchemaDir,
    schemas: Arc<SchemaStore>,
    stores: &TableStores,
) -> Result<Built, BuildError> {
    let fed = config.feeds.iter().map(|feed| feed.topic.clone());
    let answered = config.stages.iter().flat_map(|stage| stage.to.outputs()).map(|(_, output)| output.topic.clone());
    let written = fed.chain(answered).collect();
    let mut builder =
        Builder { config, sandbox, dir, schemas, stores, written, topics: HashMap::new(), keys: HashMap::new() };
    for (name, topic) in &config.topics {
        if let Some(schema) = &topic.schema {
            let json = builder.schema_file(name, schema)?;
            builder.set_topic(name, &json)?;
        }
    }
    let feeds = config.feeds.iter().map(|feed| builder.feed(feed)).collect::<Result<_, _>>()?;
    let mut stages = Vec::new();
    let mut waiting: Vec<&config::Stage> = config.stages.iter().collect();
    while !waiting.is_empty() {
        let written_later = |topic: &str| waiting.iter().any(|s| s.to.outputs().iter().any(|(_, o)| o.topic == *topic));
        // A stage goes before those that read what it writes, as far as their order is not free.
        let ready = waiting.iter().position(|s| !written_later(&s.from));
        let Some(next) = ready else { return Err(BuildError::Cycle(waiting[0].name.clone())) };
        let stage = waiting.remove(next);
        stages.push(builder.stage(stage)?);
    }
    let sinks = config.sinks.iter().map(|sink| builder.sink(sink)).collect::<Result<_, _>>()?;
    Ok(Built {
        name: config.name.clone(),
        feeds,
        topics: all_topics(config),
        stages,
        sinks,
        schemas: builder.schemas,
        dead_letters: config.dead_letters.topic.clone(),
        sandbox: sandbox.clone(),
        kept: Kept::new(config.modules.clone()),
        control: None,
    })
}

struct Builder<'a> {
    config: &'a Pipeline,
    sandbox: &'a Sandbox,
    dir: &'a SchemaDir,
    schemas: Arc<SchemaStore>,
    stores: &'a TableStores,
    /// Topics into which the pipeline writes: only their schemas need ids.
    written: HashSet<String>,
    topics: HashMap<String, TopicSchema>,
    /// The key fields of each topic, by whoever writes it here: none if its records have no key.
    keys: HashMap<String, Vec<String>>,
}

impl Builder<'_> {
    fn schema_file(&self, topic: &str, name: &str) -> Result<String, BuildError> {
        self.dir.get(name).map(str::to_owned).ok_or_else(|| BuildError::NoSchema {
            topic: topic.to_owned(),
            schema: name.to_owned(),
            dir: self.dir.path().display().to_string(),
            known: self.dir.names().join(", "),
        })
    }

    fn set_topic(&mut self, topic: &str, json: &str) -> Result<TopicSchema, BuildError> {
        let is_written = self.written.contains(topic);
        let schema = if is_written { self.schemas.written(topic, json) } else { self.schemas.read(topic, json) };
        let schema = schema.map_err(|source| BuildError::Registry { topic: topic.to_owned(), source })?;
        self.topics.insert(topic.to_owned(), schema.clone());
        Ok(schema)
    }

    fn frame(&self, topic: &str, schema: &TopicSchema) -> Result<Frame, BuildError> {
        schema.frame(self.schemas.form()).map_err(|source| BuildError::Registry { topic: topic.to_owned(), source })
    }

    /// The schema of a topic: as the file has it, or the newest one of the registry.
    fn topic(&mut self, role: &'static str, name: &str, topic: &str) -> Result<TopicSchema, BuildError> {
        if let Some(known) = self.topics.get(topic) {
            return Ok(known.clone());
        }
        let latest = self.schemas.latest(topic);
        let latest = latest.map_err(|source| BuildError::Registry { topic: topic.to_owned(), source })?;
        let none = || BuildError::NoTopicSchema { role, name: name.to_owned(), topic: topic.to_owned() };
        let schema = latest.ok_or_else(none)?;
        self.topics.insert(topic.to_owned(), schema.clone());
        Ok(schema)
    }

    fn key(
        &mut self,
        (role, name): (&'static str, &str),
        topic: &str,
        schema: &TopicSchema,
        fields: &[String],
    ) -> Result<Option<KeyPlan>, BuildError> {
        self.keys.insert(topic.to_owned(), fields.to_vec());
        if fields.is_empty() {
            return Ok(None);
        }
        let plan = KeyPlan::compile(&schema.schema, fields);
        plan.map(Some).map_err(|source| BuildError::Key {
            role,
            name: name.to_owned(),
            topic: topic.to_owned(),
            source,
        })
    }

    fn feed(&mut self, feed: &config::Feed) -> Result<BuiltFeed, BuildError> {
        let topic = self.topic("feed", &feed.name, &feed.topic)?;
        let key = self.key(("feed", &feed.name), &feed.topic, &topic, &feed.key)?;
        let frame = self.frame(&feed.topic, &topic)?;
        Ok(BuiltFeed { config: feed.clone(), topic, key, frame })
    }

    /// A stage with its file, or with the module that was live last.
    fn stage(&mut self, config: &config::Stage) -> Result<BuiltStage, BuildError> {
        let Some(start) = &config.start else { return self.stage_with(config, None) };
        let (name, file) = (&config.name, config.module.display());
        if start.is_passed_over {
            tracing::warn!(stage = name, %file, "starts with the module that was live last: its file was refused, dropped or gone back from");
            return self.stage_with(config, Some(&start.bytes)).or_else(|error| {
                tracing::warn!(stage = name, %file, %error, "the module that was live last does not do, starting with the file");
                self.stage_with(config, None)
            });
        }
        self.stage_with(config, None).or_else(|error| {
            tracing::warn!(stage = name, %file, %error, "its file does not do, starting with the module that was live last");
            // What is wrong with the file is what its owner has to know.
            self.stage_with(config, Some(&start.bytes)).map_err(|_| error)
        })
    }

    /// A stage with these bytes, or with what its file holds, or what was deployed instead of it.
    fn stage_with(&mut self, config: &config::Stage, bytes: Option<&[u8]>) -> Result<BuiltStage, BuildError> {
        let stage = || config.name.clone();
        let from = self.topic("stage", &config.name, &config.from)?;
        let no_module = |source| BuildError::Module { stage: stage(), source };
        let bytes = match bytes.or(config.deployed.as_deref()) {
            Some(bytes) => bytes.to_vec(),
            None => Module::read(&config.module).map_err(no_module)?,
        };
        let module = Module::from_bytes(self.sandbox, &config.module, &bytes, config.limits).map_err(no_module)?;
        let module = Arc::new(module);
        let settings: Arc<[(String, String)]> = config.settings.clone().into();
        if let Err(fault) = Instance::new(&module, &settings) {
            return Err(BuildError::Start { stage: stage(), module: module.name().to_owned(), why: fault.to_string() });
        }
        let mismatch = |source| BuildError::Mismatch { stage: stage(), module: module.name().to_owned(), source };
        let signature = module.signature();
        Plan::check_input(signature, &from.schema).map_err(mismatch)?;
        let outputs = outputs_in_order(&config.name, &config.to, &signature.answer.outputs())?;
        let mut destinations = Vec::new();
        for (i, output) in outputs.iter().enumerate() {
            let topic = match self.topics.get(&output.topic) {
                Some(known) => known.clone(),
                None => {
                    let json = output_schema(signature, i, &from.schema, &output.topic).map_err(mismatch)?;
                    self.set_topic(&output.topic, &json)?
                }
            };
            let fields = output.key.as_deref().unwrap_or_default();
            let key = self.key(("stage", &config.name), &output.topic, &topic, fields)?;
            // A record that a module changes keeps its key.
            if key.is_none() && signature.function == Function::Process {
                match self.keys.get(&config.from).cloned() {
                    Some(kept) => self.keys.insert(output.topic.clone(), kept),
                    None => self.keys.remove(&output.topic),
                };
            }
            let frame = self.frame(&output.topic, &topic)?;
            let name = signature.answer.outputs()[i].map(str::to_owned);
            destinations.push(Destination { name, topic: output.topic.clone(), schema: topic.schema, key, frame });
        }
        let built = Stage {
            name: stage(),
            from: config.from.clone(),
            reader: from.schema.clone(),
            outputs: destinations,
            dead_letters: self.config.dead_letters.topic.clone(),
            on_error: config.on_error,
            max_dead_letters_in_a_row: config.max_dead_letters_in_a_row,
            provenance: config.provenance == config::Provenance::Header,
            ledger: Some(Ledger::topic(&self.config.name)),
        };
        let first = Version::compile(&built, 1, module, settings).map_err(|source| unfit(stage(), source))?;
        Ok(BuiltStage { stage: Arc::new(built), first: Arc::new(first), bytes, config: config.clone(), from })
    }

    fn sink(&mut self, config: &config::Sink) -> Result<BuiltSink, BuildError> {
        let from = self.topic("sink", &config.name, &config.from)?;
        let table = self.config.tables.get(&config.table).ok_or_else(|| BuildError::Outputs {
            stage: config.name.clone(),
            what: format!("there is no [tables.{}]", config.table),
        })?;
        let store = self.stores.store(&table.store);
        let wanted = Wanted {
            name: &config.table,
            columns: table.columns.as_deref(),
            partition_key: &table.partition_key,
            clustering_key: &table.clustering_key,
            nests: store.as_ref().is_some_and(|store| store.nests()),
            nulls: table.nulls,
            fine_times: table.fine_times,
        };
        let columns = |source| BuildError::Columns { sink: config.name.clone(), source };
        check_ttl(&from.schema, &config.table, &table.ttl).map_err(columns)?;
        let spec = table_spec(&from.schema, &wanted).map_err(columns)?;
        let written = self.keys.get(&config.from).map(Vec::as_slice);
        let key = key_fields(config.key.as_deref(), written, &spec)
            .map_err(|what| BuildError::Outputs { stage: config.name.clone(), what })?;
        let sink = Sink {
            name: config.name.clone(),
            from: config.from.clone(),
            plan: RowPlan::compile(&from.schema, &spec, table.ttl.clone()),
            unordered: unordered(written, &key, &spec),
            table: Arc::new(spec),
            store,
            creates_table: table.create,
            key,
            dead_letters: self.config.dead_letters.topic.clone(),
            max_dead_letters_in_a_row: config.max_dead_letters_in_a_row,
        };
        Ok((Arc::new(sink), config.clone(), from))
    }
}

/// What does not fit, as it is told of a stage that is to start.
fn unfit(stage: String, unfit: Unfit) -> BuildError {
    match unfit {
        Unfit::Mismatch { module, source } => BuildError::Mismatch { stage, module, source },
        other => BuildError::Outputs { stage, what: other.to_string() },
    }
}

/// The configured outputs in the order in which the module has them.
fn outputs_in_order<'c>(
    stage: &str,
    configured: &'c config::To,
    module: &[Option<&str>],
) -> Result<Vec<&'c config::Output>, BuildError> {
    let fail = |what: String| BuildError::Outputs { stage: stage.to_owned(), what };
    match (configured, module) {
        (config::To::One(output), [_]) => Ok(vec![output]),
        (config::To::One(_), named) => {
            let names: Vec<_> = named.iter().flatten().copied().collect();
            Err(fail(format!("the module has the outputs {}; give each a topic in [stage.to]", names.join(", "))))
        }
        (config::To::Named(named), [None]) => match named.values().collect::<Vec<_>>().as_slice() {
            [only] => Ok(vec![only]),
            _ => Err(fail("the module has one output without a name; write `to = \"TOPIC\"`".to_owned())),
        },
        (config::To::Named(named), module) => {
            let wanted: Vec<_> = module.iter().flatten().copied().collect();
            for name in named.keys() {
                if !wanted.iter().any(|w| names::matches(name, w)) {
                    return Err(fail(format!(
                        "[stage.to] names `{name}`, and the module has the outputs {}",
                        wanted.join(", ")
                    )));
                }
            }
            let find = |output: &&str| {
                let found = named.iter().find(|(name, _)| names::matches(name, output)).map(|(_, config)| config);
                found.ok_or_else(|| fail(format!("the module's output `{output}` has no topic in [stage.to]")))
            };
            wanted.iter().map(find).collect()
        }
    }
}
