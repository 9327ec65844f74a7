//! `host check`: everything that can be known of a pipeline without running it.

use std::io::Write;
use std::path::PathBuf;

use anyhow::Result;

use super::{PIPELINE, assemble, load};
use crate::config::{Input, Source};
use crate::feed::open_file;
use crate::log::LogError;
use crate::pipeline::{BuiltStage, Location, Purpose, TopicSchema, find_topics, wanted_topics};
use crate::table::TableError;

/// What was typed.
#[derive(clap::Args, Debug, Clone)]
pub struct CheckArgs {
    /// The pipeline file; by default pipeline.toml in this folder
    pub pipeline: Option<PathBuf>,
    /// Override a key of the pipeline file
    #[arg(long, value_name = "KEY=VALUE")]
    pub set: Vec<String>,
}

/// Checks the file, the schemas, the modules with their types and settings, the keys and the tables.
///
/// # Errors
/// The first thing that is wrong, or all of the file.
pub fn check(args: &CheckArgs, out: &mut dyn Write) -> Result<()> {
    let path = args.pipeline.clone().unwrap_or_else(|| PathBuf::from(PIPELINE));
    let config = load(&path, &args.set)?;
    let built = assemble(&config, Purpose::Check)?;
    let location = Location::of(&config);
    // What is there already must fit: partitions of topics, columns of tables.
    let open = location.file().is_none_or(|path| path.exists()).then(|| location.look()).transpose()?;
    if let Some(open) = &open {
        let log = open.log();
        let topics = wanted_topics(&built.topics, &*log)?;
        for topic in &topics {
            if let Some(found) = log.topic(&topic.name)? {
                topic.fits(found.partitions.len() as u32)?;
            }
        }
        if !config.create_topics {
            find_topics(&built, &config, &*log, &topics)?;
        }
    }
    for (sink, ..) in &built.sinks {
        let checked = match (&open, &sink.store) {
            (Some(open), _) => open.check_table(sink),
            (None, Some(store)) => store.check(&sink.table).map_err(LogError::from),
            (None, None) => continue,
        };
        match checked {
            Err(LogError::Table(TableError::Missing { .. })) if sink.creates_table => {}
            checked => checked?,
        }
    }
    writeln!(out, "pipeline `{}` is sound", built.name)?;
    for feed in &built.feeds {
        writeln!(out, "  feed {} -> {} ({})", feed.config.name, feed.config.topic, named(&feed.topic))?;
        // It may come before the pipeline runs.
        if let Source::File { input: Input::File(path), format, follow } = &feed.config.source
            && let Err(error) = open_file(Some(path), *format, &feed.topic.schema, *follow, None)
        {
            writeln!(out, "    but it has nothing to read as of now: {error}")?;
        }
    }
    for BuiltStage { stage, first, from, .. } in &built.stages {
        let to: Vec<_> = stage.outputs.iter().map(|o| o.topic.as_str()).collect();
        let function = first.function().name();
        writeln!(
            out,
            "  stage {}: {} ({}) -> {} of {} -> {}",
            stage.name,
            stage.from,
            named(from),
            function,
            first.module.name(),
            to.join(", ")
        )?;
    }
    for (sink, _, _) in &built.sinks {
        writeln!(out, "  sink {}: {} -> table {}", sink.name, sink.from, sink.table.name)?;
    }
    Ok(())
}

/// A schema by its id. Without one it is new, or that of a topic that somebody else writes.
fn named(schema: &TopicSchema) -> String {
    let name = || schema.schema.describe(schema.schema.root());
    schema.registered.map_or_else(name, |registered| format!("schema {}", registered.id))
}
