//! Joining a consumer group, and joining it again.

use std::collections::VecDeque;
use std::time::{Duration, Instant};

use rdkafka::consumer::{BaseConsumer, Consumer as _};
use rdkafka::error::{KafkaError, RDKafkaErrorCode};

use super::cluster::Cluster;
use super::context::Context;
use super::native::Queue;
use super::properties;
use crate::log::LogError;

/// How often a static member that was shut out joins again within a time: two that fence each other come to an end.
const MAX_FENCED: usize = 5;
const FENCED_WITHIN: Duration = Duration::from_secs(600);

/// When a static member was shut out.
///
/// That happens when another one takes its `group.instance.id`, but also by itself: when the answer to its joining is lost
/// with the broker that gave it. So it joins again, but not for ever.
#[derive(Debug, Default)]
pub(super) struct Fenced(VecDeque<Instant>);

impl Fenced {
    /// Whether the error says that the member is shut out now, and may join again.
    pub(super) fn may_rejoin(&mut self, error: &KafkaError) -> bool {
        if error.rdkafka_error_code() != Some(RDKafkaErrorCode::FencedInstanceId) {
            return false;
        }
        self.0.retain(|at| at.elapsed() < FENCED_WITHIN);
        self.0.push_back(Instant::now());
        self.0.len() <= MAX_FENCED
    }
}

/// A consumer that has joined the group, and a queue of its own, which must not outlive it.
pub(super) fn joined(
    cluster: &Cluster,
    topic: &str,
    group: &str,
    worker: u32,
) -> Result<(Queue, BaseConsumer<Context>), LogError> {
    let config = properties::consumer(&cluster.options, group, worker);
    let failed = |error: KafkaError| cluster.failed(error);
    let consumer: BaseConsumer<Context> = config.create_with_context(Context::default()).map_err(failed)?;
    consumer.subscribe(&[topic]).map_err(failed)?;
    let queue = Queue::new(consumer.client().native_ptr()).ok_or_else(|| cluster.failed("no queue"))?;
    Ok((queue, consumer))
}

/// The group is changing, and this member is still in it.
pub(super) fn is_between_generations(error: &KafkaError) -> bool {
    let codes = [
        RDKafkaErrorCode::RebalanceInProgress,
        RDKafkaErrorCode::IllegalGeneration,
        RDKafkaErrorCode::StaleMemberEpoch,
    ];
    error.rdkafka_error_code().is_some_and(|code| codes.contains(&code))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn two_that_fence_each_other_come_to_an_end() {
        let fencing = KafkaError::MessageConsumption(RDKafkaErrorCode::FencedInstanceId);
        let mut fenced = Fenced::default();
        assert!(!fenced.may_rejoin(&KafkaError::MessageConsumption(RDKafkaErrorCode::UnknownMemberId)));
        assert!((0..MAX_FENCED).all(|_| fenced.may_rejoin(&fencing)));
        assert!(!fenced.may_rejoin(&fencing));
    }
}
