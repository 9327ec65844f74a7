//! The topics of a pipeline: how many partitions each has, or gets.

use std::collections::BTreeMap;

use crate::config::{Pipeline, Topic};
use crate::log::{Log, LogError, NewTopic};

/// The topics of a pipeline by name.
pub type Topics = BTreeMap<String, Topic>;

/// Every topic that is named anywhere, and that of the dead letters.
pub(super) fn all_topics(config: &Pipeline) -> Topics {
    let dead = &config.dead_letters;
    let mut topics = config.topics.clone();
    let partitions = topics.get(&dead.topic).and_then(|topic| topic.partitions);
    let letters = Topic { schema: None, partitions, upstream: None, retention: dead.retention };
    topics.insert(dead.topic.clone(), letters);
    topics
}

/// The topics as they are asked of a log.
///
/// # Errors
/// If the log fails.
pub fn wanted_topics(topics: &Topics, log: &dyn Log) -> Result<Vec<NewTopic>, LogError> {
    let new = |(name, topic): (&String, &Topic)| {
        let partitions = partitions(topics, log, name)?;
        Ok(NewTopic { name: name.clone(), partitions, retention: topic.retention })
    };
    topics.iter().map(new).collect()
}

/// As many partitions as the pipeline says, or as there are, or as the topic has from which this one is made.
fn partitions<'a>(topics: &'a Topics, log: &dyn Log, mut name: &'a str) -> Result<u32, LogError> {
    // Topics can go in a circle, so there are no more hops than topics.
    for _ in 0..topics.len() {
        let Some(topic) = topics.get(name) else { break };
        if let Some(told) = topic.partitions {
            return Ok(told);
        }
        if let Some(found) = log.topic(name)? {
            return Ok(found.partitions.len() as u32);
        }
        let Some(upstream) = &topic.upstream else { break };
        name = upstream;
    }
    Ok(1)
}
