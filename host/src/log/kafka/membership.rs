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
/// How long it waits before it joins once more. All of it together is longer than a group waits by default for a member that
/// was killed, whose name it does not give away before (KIP-848).
const BETWEEN: Duration = Duration::from_secs(15);

/// When a static member has joined again after it was shut out.
///
/// That happens when another one takes its `group.instance.id`, or has it still, but also by itself: when the answer to its
/// joining is lost with the broker that gave it. So it joins again, but not for ever.
#[derive(Debug, Default)]
pub(super) struct Fenced(VecDeque<Instant>);

/// Whether a member that librdkafka has given up joins again.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Again {
    Now,
    Later,
    Never,
}

impl Fenced {
    /// What follows from the reason for which it was given up.
    pub(super) fn again(&mut self, code: RDKafkaErrorCode, now: Instant) -> Again {
        if !matches!(code, RDKafkaErrorCode::FencedInstanceId | RDKafkaErrorCode::UnreleasedInstanceId) {
            return Again::Never;
        }
        self.0.retain(|at| now.saturating_duration_since(*at) < FENCED_WITHIN);
        match self.0.back() {
            Some(last) if now.saturating_duration_since(*last) < BETWEEN => Again::Later,
            _ if self.0.len() >= MAX_FENCED => Again::Never,
            _ => Again::Now,
        }
    }

    /// It joins again.
    pub(super) fn joins(&mut self, now: Instant) {
        self.0.push_back(now);
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
        let (mut fenced, start) = (Fenced::default(), Instant::now());
        let mut again = |code, secs| fenced.again(code, start + Duration::from_secs(secs));
        assert_eq!(again(RDKafkaErrorCode::UnknownMemberId, 0), Again::Never);
        assert_eq!(again(RDKafkaErrorCode::FencedInstanceId, 0), Again::Now);
        let mut now = start;
        for code in [RDKafkaErrorCode::FencedInstanceId, RDKafkaErrorCode::UnreleasedInstanceId].repeat(3) {
            if fenced.0.len() == MAX_FENCED {
                assert_eq!(fenced.again(code, now), Again::Never);
                break;
            }
            assert_eq!(fenced.again(code, now), Again::Now);
            fenced.joins(now);
            assert_eq!(fenced.again(code, now + Duration::from_secs(1)), Again::Later);
            now += BETWEEN;
        }
        assert!(now - start > Duration::from_secs(60), "a member that was killed is not outlasted");
        // It was long ago.
        assert_eq!(fenced.again(RDKafkaErrorCode::FencedInstanceId, now + FENCED_WITHIN), Again::Now);
    }
}
