//! What has to be there before a pipeline runs: its topics, those in which the host keeps what it has to, and tables.
//!
//! All of it is made or found now, so that nobody learns in the middle of a run that something is missing, or that the brokers
//! do not allow it. A pipeline that makes no topics gets no topic, whoever needs it.

use super::build::{BuildError, Built};
use super::open::OpenLog;
use super::topics::wanted_topics;
use crate::config::Pipeline;
use crate::log::{Log, LogError, NewTopic};
use crate::swap::{Ledger, Report};

/// The cleanup policy of topics that keep states.
const COMPACTED: &str = "cleanup.policy=compact";

/// A topic that a pipeline needs.
#[derive(Debug)]
pub struct MissingTopic {
    /// Its name.
    pub name: String,
    /// The command that makes it, but for where.
    pub command: String,
}

/// Makes or checks topics and tables.
///
/// # Errors
/// A topic or a table that is there with another shape, or that is missing and is not to be made.
pub fn prepare(built: &Built, config: &Pipeline, open: &OpenLog) -> Result<(), BuildError> {
    let log = open.log();
    let log = &*log;
    let topics = wanted_topics(&built.topics, log)?;
    if config.create_topics {
        for topic in &topics {
            log.create_topic(topic)?;
        }
        for topic in own_topics(built) {
            // One that is there is right, whatever it is like.
            if log.topic(&topic.name)?.is_none() {
                log.create_topic(&topic)?;
            }
        }
    } else {
        find_topics(built, config, log, &topics)?;
    }
    for (group, topic) in stateful(built, config) {
        log.ensure_states(&group, partitions(log, &topics, topic)?)?;
    }
    warn_of_order(built, log)?;
    for (sink, ..) in &built.sinks {
        if sink.creates_table { open.ensure_table(sink) } else { open.check_table(sink) }?;
    }
    Ok(())
}

/// Looks for all topics of a pipeline that makes none.
///
/// # Errors
/// [`BuildError::NoTopics`] with those that are missing.
pub fn find_topics(built: &Built, config: &Pipeline, log: &dyn Log, wanted: &[NewTopic]) -> Result<(), BuildError> {
    let topics = [wanted, &own_topics(built)].concat();
    let missing = missing(built, config, log, &topics)?;
    if missing.is_empty() { Ok(()) } else { Err(BuildError::NoTopics(missing)) }
}

/// Tells which sinks may have rows of one key in an order that is not that of their records.
fn warn_of_order(built: &Built, log: &dyn Log) -> Result<(), LogError> {
    let sinks = || built.sinks.iter().map(|(sink, ..)| sink);
    for sink in sinks() {
        let partitions = log.topic(&sink.from)?.map_or(0, |topic| topic.partitions.len());
        if let Some(why) = sink.unordered.as_ref().filter(|_| partitions > 1) {
            tracing::warn!(sink = sink.name, from = sink.from, why, "rows of one key may come out of order");
        }
        if let Some(other) = sinks().find(|other| other.table.name == sink.table.name && other.name < sink.name) {
            let why = format!("sink `{}` fills the same table `{}`", other.name, sink.table.name);
            tracing::warn!(sink = sink.name, why, "rows of one key may come out of order");
        }
    }
    Ok(())
}

/// What is written down of modules: the host's own.
fn own_topics(built: &Built) -> Vec<NewTopic> {
    if built.stages.is_empty() {
        return Vec::new();
    }
    vec![Ledger::new_topic(&Ledger::topic(&built.name)), Report::new_topic(&Report::topic(&built.name))]
}

/// The groups that keep a state, with the topic that each reads. A feed reads none.
fn stateful<'b>(built: &'b Built, config: &Pipeline) -> Vec<(String, Option<&'b str>)> {
    let feeds = built.feeds.iter().map(|feed| (config.group(&format!("feed.{}", feed.config.name)), None));
    let stages = built.stages.iter().filter(|stage| stage.first.module.is_stateful());
    feeds.chain(stages.map(|stage| (config.group(&stage.stage.name), Some(&*stage.stage.from)))).collect()
}

/// How many partitions the states of a group are of: those of the topic that it reads.
fn partitions(log: &dyn Log, wanted: &[NewTopic], topic: Option<&str>) -> Result<u32, LogError> {
    let Some(name) = topic else { return Ok(1) };
    let of_wanted = || wanted.iter().find(|topic| topic.name == name).map_or(1, |topic| topic.partitions);
    Ok(log.topic(name)?.map_or_else(of_wanted, |topic| topic.partitions.len() as u32))
}

/// Those of the topics that are not there, and those for states.
fn missing(
    built: &Built,
    config: &Pipeline,
    log: &dyn Log,
    topics: &[NewTopic],
) -> Result<Vec<MissingTopic>, LogError> {
    let mut missing = Vec::new();
    for NewTopic { name, partitions, retention } in topics {
        if log.topic(name)?.is_none() {
            let kept = [("retention.ms", retention.age_ms), ("retention.bytes", retention.bytes)];
            let kept = kept.map(|(setting, limit)| limit.map(|limit| format!(" --config {setting}={limit}")));
            let kept: String = kept.into_iter().flatten().collect();
            missing.push(MissingTopic::new(name, *partitions, &kept));
        }
    }
    for (group, topic) in stateful(built, config) {
        if let Some(name) = log.state_topic(&group)
            && log.topic(&name)?.is_none()
        {
            let partitions = partitions(log, topics, topic)?;
            missing.push(MissingTopic::new(&name, partitions, &format!(" --config {COMPACTED}")));
        }
    }
    Ok(missing)
}

// === impl MissingTopic ===

impl MissingTopic {
    fn new(name: &str, partitions: u32, settings: &str) -> Self {
        let command = format!("host topics create {name} --partitions {partitions}{settings}");
        Self { name: name.to_owned(), command }
    }

    /// The names of all.
    pub(super) fn names(missing: &[Self]) -> String {
        missing.iter().map(|topic| format!("`{}`", topic.name)).collect::<Vec<_>>().join(", ")
    }
}
