//! A static member that comes back, and partitions that the group has forgotten meanwhile.
//!
//! A cooperative rebalance takes a partition from a member first, and gives it to another when the first has given it up and
//! joins again. A static member that ends in between, and is back in time, is given what was meant to stay with it, and the
//! coordinator does not rebalance for that: so nobody joins again, and nobody has the partition until the group changes for
//! another reason. Neither the members nor their leader notice. (With the protocol of KIP-848 the coordinator itself sees to
//! it that each partition has a member.)
//!
//! So who has joined under its own name looks once, a little later, whether each partition has a member. If one has none, it
//! leaves the group and joins again, and all partitions are shared out anew. That is right at any time, and only costs a
//! rebalance if another member was just about to give the partition up.

use std::collections::{BTreeMap, HashSet};
use std::time::{Duration, Instant};

use rdkafka::consumer::Consumer as _;
use rdkafka::error::KafkaError;

use super::Input;
use crate::log::LogError;
use crate::log::kafka::native::assigned;
use crate::log::kafka::properties::is_new_protocol;

/// How long members that have to give partitions up are given for it, and the time between two attempts to look.
const LATER: Duration = Duration::from_secs(5);
/// How long each question may take: records wait for it.
const QUESTION: Duration = Duration::from_secs(1);

/// Whether a member looks for partitions without one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Returned {
    /// It has not heard from the group yet.
    Joining,
    /// It looks when it is time to.
    Looks(Instant),
    Done,
}

// === impl Returned ===

impl Returned {
    /// Of a member with these settings.
    pub(super) fn new(properties: &BTreeMap<String, String>) -> Self {
        let is_static = properties.contains_key("group.instance.id");
        // ## => Joining
        if is_static && !is_new_protocol(properties) { Self::Joining } else { Self::Done }
    }

    /// The group has given it partitions, if only none.
    pub(super) fn has_joined(&mut self) {
        if *self == Self::Joining {
            // ## Joining => Looks
            *self = Self::Looks(Instant::now() + LATER);
        }
    }
}

impl Input {
    /// Looks, when it is time to, for partitions that the group has forgotten.
    pub(super) fn look_around(&mut self) -> Result<(), LogError> {
        let Returned::Looks(at) = self.returned else { return Ok(()) };
        let now = Instant::now();
        if now < at {
            return Ok(());
        }
        match self.forgotten() {
            // ## Looks => Done
            Ok(forgotten) if forgotten.is_empty() => self.returned = Returned::Done,
            Ok(forgotten) => {
                self.returned = Returned::Done;
                let (group, topic) = (&self.group, &self.topic);
                tracing::warn!(group, topic, partitions = ?forgotten, "nobody in the group has these; joining it again");
                self.consumer.unsubscribe();
                self.consumer.subscribe(&[topic]).map_err(|error| self.cluster.failed(error))?;
            }
            Err(error) => {
                tracing::debug!(%error, group = self.group, topic = self.topic, "looking at the group");
                self.returned = Returned::Looks(now + LATER);
            }
        }
        Ok(())
    }

    /// Partitions that no member has.
    fn forgotten(&self) -> Result<Vec<u32>, KafkaError> {
        let Some(assigned) = assigned(self.consumer.client(), &self.group, QUESTION)? else { return Ok(Vec::new()) };
        let metadata = self.consumer.fetch_metadata(Some(&self.topic), QUESTION)?;
        let of_topic = metadata.topics().first().map_or(&[][..], |topic| topic.partitions());
        let assigned: HashSet<u32> = assigned.into_iter().filter(|(t, _)| *t == self.topic).map(|(_, p)| p).collect();
        let all = of_topic.iter().map(|partition| partition.id() as u32);
        Ok(all.filter(|partition| !assigned.contains(partition)).collect())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_static_members_of_the_classic_protocol_look() {
        let of = |properties: &[(&str, &str)]| {
            let owned = properties.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned()));
            let mut returned = Returned::new(&owned.collect());
            returned.has_joined();
            matches!(returned, Returned::Looks(_))
        };
        assert!(of(&[("group.instance.id", "a")]));
        assert!(of(&[("group.instance.id", "a"), ("group.protocol", "classic")]));
        assert!(!of(&[]));
        assert!(!of(&[("group.instance.id", "a"), ("group.protocol", "consumer")]));
    }
}
