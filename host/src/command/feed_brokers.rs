//! `host feed --brokers`: the pipeline that a file would be, from what was typed.

use std::path::Path;

use anyhow::Result;
use toml::{Table, Value};

use super::feed::FeedArgs;
use super::schema_dir;
use crate::cli::failure::Usage;
use crate::cli::place;
use crate::config::Pipeline;
use crate::feed::generate;
use crate::schema::SchemaDir;

/// Before the names of groups.
const NAME: &str = "host";
/// Keeps the ids where no registry does.
const IDS: &str = "kafka.schemas.json";
/// How the schema of the generator is called.
const GENERATED: &str = "product";

/// A pipeline on these brokers with the topic that is fed, and its schema.
pub(super) fn pipeline(args: &FeedArgs, brokers: &str) -> Result<(Pipeline, SchemaDir)> {
    let generates = args.source == "generate";
    if !generates && args.schema.is_none() && args.registry.is_none() {
        let told = Usage::new(format!("the schema of `{}` is not known", args.to));
        return Err(told.hint("add --schema FILE, or --registry URL for the newest one there").into());
    }
    let mut schemas = Table::new();
    match &args.registry {
        Some(urls) => {
            schemas.insert("registry".into(), urls.split(',').map(Value::from).collect::<Vec<_>>().into());
            schemas.insert("register".into(), args.register.into());
        }
        None => {
            let ids = args.ids.as_deref().unwrap_or(Path::new(IDS));
            tracing::info!(file = %ids.display(), "no registry is named: schema ids are those of this file");
            schemas.insert("ids".into(), ids.to_string_lossy().into_owned().into());
        }
    }
    let mut topic = Table::new();
    let stem = args.schema.as_deref().and_then(Path::file_stem).map(|stem| stem.to_string_lossy().into_owned());
    if let Some(name) = stem.or_else(|| generates.then(|| GENERATED.to_owned())) {
        topic.insert("schema".into(), name.into());
    }
    if let Some(file) = &args.schema {
        schemas.insert("dir".into(), file.to_string_lossy().into_owned().into());
    }
    let properties: Table =
        place::properties(&args.property)?.into_iter().map(|(name, value)| (name, value.into())).collect();
    let log = [("kind", "kafka".into()), ("bootstrap", brokers.into()), ("properties", properties.into())];
    // The feed itself is put in its place by the caller; this one makes a pipeline of it.
    let feed = [("topic", args.to.as_str().into()), ("generate", Table::new().into())];
    let document = [
        ("name", NAME.into()),
        ("log", table(log)),
        ("schemas", schemas.into()),
        ("topics", table([(args.to.as_str(), topic.into())])),
        ("dead_letters", table([("topic", format!("{}.dead-letters", args.to).into())])),
        ("feed", vec![table(feed)].into()),
    ];
    let text = toml::to_string(&table(document))?;
    let config = Pipeline::parse(&text, "the command line", Path::new(""), &args.set, &|_| None)?;
    let dir = match &args.schema {
        None if generates => SchemaDir::of(GENERATED, generate::SCHEMA)?,
        None => SchemaDir::default(),
        Some(_) => schema_dir(&config.schemas)?,
    };
    Ok((config, dir))
}

fn table<'a>(entries: impl IntoIterator<Item = (&'a str, Value)>) -> Value {
    Value::Table(entries.into_iter().map(|(key, value)| (key.to_owned(), value)).collect())
}
