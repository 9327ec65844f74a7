//! `host feed`: a file or the generator into a topic, or the generator's lines to standard output.

use std::io::Write;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use anyhow::Result;
use sha2::{Digest as _, Sha256};

use super::{PIPELINE, assemble_with, cluster, feed_brokers, load, schema_dir};
use crate::cli::failure::Usage;
use crate::config::{self, Input, LogKind};
use crate::feed::generate::{Generator, GeneratorOptions};
use crate::format::reader::Format;
use crate::log::is_topic_char;
use crate::metrics::Counters;
use crate::pipeline::{Location, OpenLog, Purpose, Until, Watched, prepare, run as run_pipeline};
use crate::progress::Progress;
use crate::shutdown::Shutdown;

/// What was typed.
#[derive(clap::Args, Debug, Clone)]
pub struct FeedArgs {
    /// `generate`, a file (.jsonl, .csv, .avro), or `-` for standard input
    pub source: String,
    /// The topic to write; `-` writes the generator's records to standard output as JSON lines
    #[arg(long, value_name = "TOPIC")]
    pub to: String,
    /// The pipeline whose log and schemas are used; by default pipeline.toml in this folder
    #[arg(long, value_name = "FILE")]
    pub pipeline: Option<PathBuf>,
    /// One of the pipeline's `[clusters]`, instead of its log
    #[arg(long, value_name = "NAME", conflicts_with = "brokers")]
    pub cluster: Option<String>,
    /// The brokers of a Kafka cluster, without a pipeline
    #[arg(long, value_name = "HOST:PORT,…", conflicts_with = "pipeline")]
    pub brokers: Option<String>,
    /// A setting of the Kafka client, such as security.protocol=ssl; again for more
    #[arg(long, value_name = "NAME=VALUE", requires = "brokers")]
    pub property: Vec<String>,
    /// The schema registry, with `--brokers`
    #[arg(long, value_name = "URL", requires = "brokers")]
    pub registry: Option<String>,
    /// Register the schema there if the registry does not have it
    #[arg(long, requires = "registry")]
    pub register: bool,
    /// The file of schema ids, without a registry [default: kafka.schemas.json]
    #[arg(long, value_name = "FILE", requires = "brokers", conflicts_with = "registry")]
    pub ids: Option<PathBuf>,
    /// The Avro schema of the records, with `--brokers`; by default the registry's newest, or the generator's own
    #[arg(long, value_name = "FILE", requires = "brokers")]
    pub schema: Option<PathBuf>,
    /// A field that makes the key; again for more
    #[arg(long, value_name = "FIELD")]
    pub key: Vec<String>,
    /// The form of the file: jsonl, csv or avro; by default by its ending
    #[arg(long, value_name = "FORM")]
    pub format: Option<Format>,
    /// Wait for the file to grow
    #[arg(long)]
    pub follow: bool,
    /// How many records are generated; by default no end
    #[arg(long)]
    pub count: Option<u64>,
    /// Another seed gives other records
    #[arg(long, default_value_t = 1)]
    pub seed: u64,
    /// Records per second; 0 for as fast as it goes
    #[arg(long, default_value_t = 0)]
    pub rate: u32,
    /// How many products there are
    #[arg(long, default_value_t = GeneratorOptions::default().products)]
    pub products: u32,
    /// How many categories they are in
    #[arg(long, default_value_t = GeneratorOptions::default().categories)]
    pub categories: u32,
    /// The share of records that cannot be right, from 0 to 1
    #[arg(long, default_value_t = GeneratorOptions::default().invalid)]
    pub invalid: f64,
    /// The share of records with an unusual price, from 0 to 1
    #[arg(long, default_value_t = GeneratorOptions::default().outliers)]
    pub outliers: f64,
    /// Override a key of the pipeline file
    #[arg(long, value_name = "KEY=VALUE")]
    pub set: Vec<String>,
}

/// Feeds until the source ends or a stop is asked for. False if it ended early.
///
/// # Errors
/// If it cannot start.
pub fn feed(args: &FeedArgs, out: &mut dyn Write, shutdown: &Shutdown) -> Result<bool> {
    if args.to == "-" {
        if args.source != "generate" {
            return Err(Usage::new("only `host feed generate` can write to standard output").into());
        }
        lines(args, out, shutdown)?;
        return Ok(true);
    }
    let feed = configured(args)?;
    let (mut config, dir) = match &args.brokers {
        Some(brokers) => feed_brokers::pipeline(args, brokers)?,
        None => {
            let config = load(&args.pipeline.clone().unwrap_or_else(|| PathBuf::from(PIPELINE)), &args.set)?;
            let dir = schema_dir(&config.schemas)?;
            (config, dir)
        }
    };
    if let Some(name) = &args.cluster {
        config.log.kind = LogKind::Kafka(cluster(&config, name)?.clone());
    }
    config.stages.clear();
    config.sinks.clear();
    config.feeds = vec![feed.clone()];
    // Where this feed is has a topic of a name that only it knows, so that nobody can make it before.
    let open = Location::of(&config).making_states().open(shutdown)?;
    let mut built = assemble_with(&config, &dir, Purpose::Run(shutdown.clone()))?;
    if args.brokers.is_some() && !config.create_topics {
        // Only what cannot be fed needs the topic of dead letters.
        built.topics.retain(|name, _| *name == args.to);
        let letters = &config.dead_letters.topic;
        if matches!(feed.source, config::Source::File { .. }) && open.log().topic(letters)?.is_none() {
            tracing::warn!(
                "there is no topic `{letters}`: the first line that cannot be fed will end this; \
                 `host topics create {letters} --brokers …` makes it"
            );
        }
    }
    prepare(&built, &config, &open)?;
    let group = config.group(&format!("feed.{}", feed.name));
    let mut progress = Progress::new(|_| None);
    let tick = |watched: &Watched| progress.tick(watched);
    let outcome = run_pipeline(built, &open.log(), config.log.commit_interval, Until::Drained, shutdown, tick)?;
    progress.finish(&outcome.counted);
    if let (OpenLog::Kafka(log), false) = (&open, is_file(&feed)) {
        // Nobody takes it up again, so its place is of no more use.
        log.forget(&group).unwrap_or_else(|error| tracing::debug!(%error, group, "its state is left behind"));
    }
    // Only what is committed counts, which on Kafka is on all replicas.
    let count = |of: fn(&Counters) -> u64| outcome.counted.iter().map(|(_, counters)| of(counters)).sum::<u64>();
    writeln!(out, "{} records written to {}", count(|c| c.records_out.get()), args.to)?;
    let letters = count(|c| c.dead_letters.get());
    if letters > 0 {
        writeln!(out, "{letters} dead letters written to {}", config.dead_letters.topic)?;
    }
    for (role, why) in &outcome.failed {
        tracing::error!(role, why, "ended early");
    }
    Ok(outcome.failed.is_empty())
}

/// What is read once and taken up again where it was left.
fn is_file(feed: &config::Feed) -> bool {
    matches!(feed.source, config::Source::File { input: Input::File(_), .. })
}

fn options(args: &FeedArgs) -> GeneratorOptions {
    GeneratorOptions {
        count: args.count,
        seed: args.seed,
        products: args.products,
        categories: args.categories,
        invalid: args.invalid,
        outliers: args.outliers,
        ..GeneratorOptions::default()
    }
}

fn configured(args: &FeedArgs) -> Result<config::Feed> {
    let source = if args.source == "generate" {
        // What it cannot do is known now.
        Generator::new(&options(args))?;
        config::Source::Generate { options: options(args), rate: (args.rate > 0).then_some(args.rate) }
    } else {
        let stdin = args.source == "-";
        let by_name = || if stdin { Some(Format::Jsonl) } else { Format::of(Path::new(&args.source)) };
        let unknown = || Usage::new(format!("`{}` ends in none of .jsonl, .csv, .avro; add --format", args.source));
        let format = args.format.or_else(by_name).ok_or_else(unknown)?;
        let input = if stdin { Input::Stdin } else { Input::File(PathBuf::from(&args.source)) };
        config::Source::File { input, format, follow: args.follow }
    };
    // A file is read once, so its feed has a name that stays; what is generated or typed is new every time.
    let name = match &source {
        config::Source::File { input: Input::File(path), .. } => name_of(path, &args.to),
        _ => format!("{}-{}", args.source, jiff::Timestamp::now().as_microsecond()),
    };
    Ok(config::Feed { name, topic: args.to.clone(), key: args.key.clone(), source })
}

/// The same for a file and a topic however the file is named, and another for each other file and topic. Its letters are
/// those that a Kafka topic may have, as the feed's position is in one.
fn name_of(file: &Path, topic: &str) -> String {
    let place = std::fs::canonicalize(file).unwrap_or_else(|_| file.to_owned());
    let place = Sha256::new().chain_update(place.as_os_str().as_encoded_bytes()).chain_update([0]).chain_update(topic);
    let digest: String = place.finalize().iter().take(6).map(|byte| format!("{byte:02x}")).collect();
    let name = file.file_name().unwrap_or_default().to_string_lossy();
    let name: String = name.chars().take(64).map(|c| if is_topic_char(c) { c } else { '-' }).collect();
    format!("{name}-{digest}")
}

/// The generator's records as JSON lines.
fn lines(args: &FeedArgs, out: &mut dyn Write, shutdown: &Shutdown) -> Result<()> {
    let mut generator = Generator::new(&options(args))?;
    let (started, mut made) = (Instant::now(), 0u64);
    let mut text = Vec::new();
    while !shutdown.is_requested() {
        if args.rate > 0 && made as f64 >= started.elapsed().as_secs_f64() * f64::from(args.rate) {
            out.flush()?;
            let _ = shutdown.wait(Duration::from_millis(5));
            continue;
        }
        text.clear();
        if !generator.next_json(&mut text) {
            break;
        }
        out.write_all(&text)?;
        made += 1;
    }
    out.flush()?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_has_one_name_for_a_topic_however_it_is_typed() {
        let folder = tempfile::tempdir().unwrap();
        std::fs::write(folder.path().join("a ä.jsonl"), "").unwrap();
        let name = name_of(&folder.path().join("a ä.jsonl"), "t");
        assert!(name.starts_with("a--.jsonl-"), "{name}");
        assert_eq!(name, name_of(&folder.path().join(".").join("a ä.jsonl"), "t"));
        assert_ne!(name, name_of(&folder.path().join("a ä.jsonl"), "u"));
        assert_ne!(name, name_of(&folder.path().join("b").join("a ä.jsonl"), "t"));
    }
}
