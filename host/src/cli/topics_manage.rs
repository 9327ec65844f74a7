//! `host topics create|alter|delete|advise`: topics are made and changed.
//!
//! An embedded log takes part as far as it can: topics with a retention are made; nothing else can be changed there.

use std::io::Write;

use super::advice::Advice;
use super::failure::Usage;
use super::place::{Place, PlaceArguments};
use crate::log::{Created, Log as _, LogError, NewTopic, Retention};
use crate::pipeline::OpenLog;

#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
  host topics create products --partitions 6 --replication auto --brokers localhost:9092
  host topics create prices --config retention.ms=86400000 --config min.insync.replicas=2
  host topics create notes --log data/products.db

On Kafka the topic keeps its records for ever, takes records of 16 MiB and records of any time, unless `--config` sets
retention.ms, retention.bytes, max.message.bytes or message.timestamp.after.max.ms. A topic that is there with as many
partitions stays as it is.")]
pub(super) struct Create {
    /// The topic
    topic: String,

    /// How many partitions [default: 1]
    #[arg(long, value_name = "N", default_value_t = 1)]
    partitions: u32,

    /// How many replicas: a number, `auto` for what `host topics advise` says, or the brokers' default
    #[arg(long, visible_alias = "replication-factor", value_name = "N|auto")]
    replication: Option<Replication>,

    /// A setting of the topic; again for more
    #[arg(long, value_name = "NAME=VALUE")]
    config: Vec<Setting>,

    #[command(flatten)]
    place: PlaceArguments,
}

#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
  host topics alter products --partitions 12 --brokers localhost:9092
  host topics alter products --config retention.ms=86400000
  host topics alter products --config retention.ms=             back to the brokers' default

With more partitions, keys go elsewhere than before: the order of records with one key begins anew.")]
pub(super) struct Alter {
    /// The topic
    topic: String,

    /// More partitions than there are
    #[arg(long, value_name = "N")]
    partitions: Option<u32>,

    /// A setting of the topic, or the brokers' default for one without a value; again for more
    #[arg(long, value_name = "NAME=VALUE")]
    config: Vec<Setting>,

    #[command(flatten)]
    place: PlaceArguments,
}

#[derive(Debug, clap::Args)]
#[command(after_help = "\
Example:
  host topics delete products --brokers localhost:9092

All that is in it is gone at once.")]
pub(super) struct Delete {
    /// The topics
    #[arg(required = true)]
    topics: Vec<String>,

    #[command(flatten)]
    place: PlaceArguments,
}

#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
  host topics advise --nodes 5
  host topics advise --brokers localhost:9092        for the brokers that there are

Of N brokers, floor((N - 1) / 2) replicas and partitions are advised, and one at least: so many brokers can be lost while
the others are still more than half. `host topics create --replication auto` takes that number.")]
pub(super) struct Advise {
    /// How many brokers
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..))]
    nodes: Option<u32>,

    #[command(flatten)]
    place: PlaceArguments,
}

/// How many replicas.
#[derive(Clone, Copy, Debug)]
enum Replication {
    Auto,
    Fixed(i32),
}

/// `NAME=VALUE`
#[derive(Clone, Debug)]
struct Setting {
    name: String,
    value: Option<String>,
}

// === impl Replication ===

impl std::str::FromStr for Replication {
    type Err = &'static str;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        match text.parse() {
            _ if text == "auto" => Ok(Self::Auto),
            Ok(number @ 1..=32_767) => Ok(Self::Fixed(number)),
            _ => Err("write a number from 1 on, or `auto`"),
        }
    }
}

// === impl Setting ===

impl std::str::FromStr for Setting {
    type Err = &'static str;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let (name, value) = text.split_once('=').ok_or("write it as NAME=VALUE")?;
        let value = Some(value.to_owned()).filter(|value| !value.is_empty());
        Ok(Self { name: name.to_owned(), value })
    }
}

pub(super) fn create(arguments: &Create, out: &mut dyn Write) -> anyhow::Result<()> {
    let Create { topic, partitions, replication, config, place } = arguments;
    let place = place.find()?;
    if let Some(empty) = config.iter().find(|setting| setting.value.is_none()) {
        return Err(Usage::new(format!("`--config {}=` has no value", empty.name)).into());
    }
    let settings = config.iter().filter_map(|setting| Some((setting.name.clone(), setting.value.clone()?)));
    let mut settings: Vec<(String, String)> = settings.collect();
    let mut take = |name: &str| -> anyhow::Result<Option<i64>> {
        let Some(at) = settings.iter().position(|(given, _)| given == name) else { return Ok(None) };
        let (_, value) = settings.swap_remove(at);
        let number = value.parse::<i64>().map_err(|_| Usage::new(format!("`{name}={value}` is not a number")))?;
        Ok(Some(number).filter(|number| *number >= 0))
    };
    let retention = Retention { age_ms: take("retention.ms")?, bytes: take("retention.bytes")? };
    let new = NewTopic { name: topic.clone(), partitions: *partitions, retention };
    match place.changeable()? {
        OpenLog::Embedded(log) => {
            if replication.is_some() || !settings.is_empty() {
                let what = "an embedded log has no replicas, and of settings only retention.ms and retention.bytes";
                return Err(Usage::new(what).into());
            }
            if log.create_topic(&new)? == Created::Existing {
                writeln!(out, "topic {topic} was there")?;
                return Ok(());
            }
        }
        OpenLog::Kafka(log) => {
            let replicas = match replication {
                Some(Replication::Auto) => {
                    let advice = Advice::of(u32::try_from(log.brokers()?)?);
                    advice.print(out)?;
                    Some(i32::try_from(advice.number)?)
                }
                Some(Replication::Fixed(number)) => Some(*number),
                None => None,
            };
            if log.create(&new, replicas, &settings)? == Created::Existing {
                writeln!(out, "topic {topic} was there, and stays as it is")?;
                return Ok(());
            }
        }
    }
    writeln!(out, "created {topic}")?;
    Ok(())
}

pub(super) fn alter(arguments: &Alter, out: &mut dyn Write) -> anyhow::Result<()> {
    let Alter { topic, partitions, config, place } = arguments;
    if partitions.is_none() && config.is_empty() {
        return Err(Usage::new("nothing to alter").hint("add `--partitions N` or `--config NAME=VALUE`").into());
    }
    let log = place.find()?.kafka("altered")?;
    let info = log.topic(topic)?.ok_or_else(|| LogError::NoTopic(topic.clone()))?;
    let existing = info.partitions.len() as u32;
    if let Some(wanted) = partitions.filter(|wanted| *wanted < existing) {
        return Err(LogError::Partitions { topic: topic.clone(), existing, wanted }.into());
    }
    let settings: Vec<(String, Option<String>)> =
        config.iter().map(|setting| (setting.name.clone(), setting.value.clone())).collect();
    if !settings.is_empty() {
        log.alter(topic, &settings)?;
        for (name, value) in &settings {
            writeln!(out, "{name} of {topic}: {}", value.as_deref().unwrap_or("the brokers' default"))?;
        }
    }
    // Last, as partitions cannot be taken away again.
    if let Some(wanted) = *partitions {
        if wanted > existing {
            log.add_partitions(topic, wanted)?;
        }
        writeln!(out, "partitions of {topic}: {existing} -> {wanted}")?;
    }
    Ok(())
}

pub(super) fn delete(arguments: &Delete, out: &mut dyn Write) -> anyhow::Result<()> {
    let log = arguments.place.find()?.kafka("deleted")?;
    // All are looked for before the first is gone.
    for topic in &arguments.topics {
        log.topic(topic)?.ok_or_else(|| LogError::NoTopic(topic.clone()))?;
    }
    for topic in &arguments.topics {
        log.delete(topic)?;
        writeln!(out, "deleted {topic}")?;
    }
    Ok(())
}

pub(super) fn advise(arguments: &Advise, out: &mut dyn Write) -> anyhow::Result<()> {
    let nodes = match arguments.nodes {
        Some(nodes) => nodes,
        None => u32::try_from(arguments.place.find()?.kafka("advised on without `--nodes N`")?.brokers()?)?,
    };
    Ok(Advice::of(nodes).print(out)?)
}

impl Place {
    /// The log as one of brokers, which alone can do what is wanted of a topic.
    pub(super) fn kafka(&self, what: &str) -> anyhow::Result<std::sync::Arc<crate::log::kafka::KafkaLog>> {
        match self.changeable()? {
            OpenLog::Kafka(log) => Ok(log),
            OpenLog::Embedded(_) => {
                let told = Usage::new(format!("topics of an embedded log cannot be {what}"));
                Err(told.hint("name a cluster with `--brokers`, or a pipeline whose log is Kafka").into())
            }
        }
    }
}
