//! `host topics`: what is in the log. Making and changing topics is in `topics_manage.rs`.

use std::io::Write;

use super::grid::{self, Side};
use super::{place, topics_describe, topics_manage, topics_read, values};
use crate::log::embedded::EmbeddedLog;
use crate::log::{Log, LogError, Retention, TopicInfo, standings};
use crate::pipeline::OpenLog;
use crate::shutdown::Shutdown;

#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
  host topics list
  host topics read products.alerts --until-end")]
pub(super) struct Arguments {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, clap::Subcommand)]
enum Command {
    /// List all topics.
    List(List),
    /// Show one topic with its partitions, and how far each group has read it.
    Describe(Describe),
    /// Print the records of a topic.
    Read(topics_read::Arguments),
    /// Make a topic.
    Create(topics_manage::Create),
    /// Change the settings of a topic, or add partitions.
    Alter(topics_manage::Alter),
    /// Delete topics.
    Delete(topics_manage::Delete),
    /// Say how many replicas and partitions a topic should have.
    Advise(topics_manage::Advise),
}

#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
  host topics list
  host topics list --log data/products.db")]
struct List {
    #[command(flatten)]
    place: place::PlaceArguments,
}

#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
  host topics describe products.alerts
  host topics describe products --brokers localhost:9092 --group products.processor

On a cluster it shows replicas, settings, and how far groups have read. What is wrong ends with `!`.")]
struct Describe {
    /// The topic
    topic: String,

    /// Of the groups of a cluster, only this one
    #[arg(long, value_name = "GROUP")]
    group: Option<String>,

    #[command(flatten)]
    place: place::PlaceArguments,
}

pub(super) fn run(arguments: &Arguments, out: &mut dyn Write, shutdown: &Shutdown) -> anyhow::Result<()> {
    match &arguments.command {
        Command::List(list) => print_list(&*list.place.find()?.read_only()?, out),
        Command::Describe(describe) => {
            let place = describe.place.find()?;
            let mut schemas = values::Schemas::new(place.registry()?, place.subjects());
            // What a registry that is away would add is less than what the brokers tell.
            let schema = schemas.of_topic(&describe.topic).unwrap_or_else(|error| {
                tracing::warn!("its schema is not told: {error:#}");
                None
            });
            let schema = schema.map(|(id, schema)| (id, schema.describe(schema.root())));
            let name = &describe.topic;
            let missing = || LogError::NoTopic(name.clone());
            match place.look()? {
                OpenLog::Embedded(log) => {
                    let topic = log.topic(name)?.ok_or_else(missing)?;
                    print_head(name, schema, topic.retention, out)?;
                    print_partitions(&log, &topic, out)
                }
                OpenLog::Kafka(log) => {
                    let topic = log.state(name)?.ok_or_else(missing)?;
                    print_head(name, schema, topic.retention, out)?;
                    topics_describe::print(&log, name, &topic, describe.group.as_deref(), out)
                }
            }
        }
        Command::Read(read) => topics_read::run(read, out, shutdown),
        Command::Create(create) => topics_manage::create(create, out),
        Command::Alter(alter) => topics_manage::alter(alter, out),
        Command::Delete(delete) => topics_manage::delete(delete, out),
        Command::Advise(advise) => topics_manage::advise(advise, out),
    }
}

fn print_list(log: &dyn Log, out: &mut dyn Write) -> anyhow::Result<()> {
    let head = [
        ("TOPIC", Side::Left),
        ("PARTITIONS", Side::Right),
        ("OFFSETS", Side::Right),
        ("SIZE", Side::Right),
        ("KEPT", Side::Left),
    ];
    let rows: Vec<_> = log.topics()?.iter().map(row).collect();
    Ok(grid::print(out, &head, &rows)?)
}

fn row(topic: &TopicInfo) -> Vec<String> {
    // Offsets may have gaps, so this is how many records there are at most.
    let offsets: i64 = topic.partitions.iter().map(|p| p.end - p.start).sum();
    let bytes: Option<i64> = topic.partitions.iter().map(|p| p.bytes).sum();
    let partitions = topic.partitions.len().to_string();
    vec![topic.name.clone(), partitions, offsets.to_string(), size(bytes), kept(topic.retention)]
}

pub(super) fn size(bytes: Option<i64>) -> String {
    bytes.map_or("unknown".to_owned(), grid::bytes)
}

fn print_head(
    name: &str,
    schema: Option<(u32, String)>,
    retention: Retention,
    out: &mut dyn Write,
) -> anyhow::Result<()> {
    writeln!(out, "topic   {name}")?;
    match schema {
        Some((id, schema)) => writeln!(out, "schema  {schema}, id {id}")?,
        None => writeln!(out, "schema  not known")?,
    }
    writeln!(out, "kept    {}", kept(retention))?;
    Ok(())
}

fn print_partitions(log: &EmbeddedLog, topic: &TopicInfo, out: &mut dyn Write) -> anyhow::Result<()> {
    writeln!(out)?;
    let head = [("PARTITION", Side::Right), ("FIRST", Side::Right), ("NEXT", Side::Right), ("SIZE", Side::Right)];
    let rows: Vec<_> = topic
        .partitions
        .iter()
        .map(|p| vec![p.partition.to_string(), p.start.to_string(), p.end.to_string(), size(p.bytes)])
        .collect();
    grid::print(out, &head, &rows)?;
    print_groups(log, &topic.name, out)
}

/// Who reads a topic, and how far each has come.
fn print_groups(log: &EmbeddedLog, topic: &str, out: &mut dyn Write) -> anyhow::Result<()> {
    let mut rows = Vec::new();
    for group in log.groups(topic)? {
        for standing in standings(log, &group, topic)? {
            let numbers = [standing.partition.to_string(), standing.position.to_string(), standing.lag().to_string()];
            rows.push([vec![group.clone()], numbers.to_vec()].concat());
        }
    }
    if rows.is_empty() {
        writeln!(out, "\nno group has read of it")?;
        return Ok(());
    }
    writeln!(out)?;
    let head = [("GROUP", Side::Left), ("PARTITION", Side::Right), ("POSITION", Side::Right), ("LAG", Side::Right)];
    Ok(grid::print(out, &head, &rows)?)
}

fn kept(retention: Retention) -> String {
    let age = retention.age_ms.map(|ms| format!("{:#}", jiff::SignedDuration::from_millis(ms)));
    let bytes = retention.bytes.map(|bytes| format!("{} a partition", grid::bytes(bytes)));
    let kept: Vec<String> = age.into_iter().chain(bytes).collect();
    if kept.is_empty() { "for ever".to_owned() } else { kept.join(", ") }
}
