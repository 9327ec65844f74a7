//! What becomes of a consumer that librdkafka has given up, and how one is closed.
//!
//! After a fatal error librdkafka tells of it once, to whoever polls next, and never joins the group again. So it is not that
//! one event which counts here but what the client says when it is asked, and it is asked at every poll: then it does not
//! matter who has heard of it, a commit or a step that waits.

use std::time::{Duration, Instant};

use rdkafka::consumer::Consumer as _;
use rdkafka::error::RDKafkaErrorCode;

use super::{Input, Leaving, Partition, Returned, Stage};
use crate::log::LogError;
use crate::log::kafka::client::is_hopeless;
use crate::log::kafka::context::{Change, give_up, take_up};
use crate::log::kafka::membership::{Again, joined};

impl Input {
    /// Hears what librdkafka has to say. An error that ends the session is kept for the next poll.
    pub(super) fn listen(&mut self, wait: Duration) {
        // Partitions have queues of their own, so that no record comes here.
        let Some(error) = self.consumer.poll(wait).and_then(Result::err) else { return };
        if is_hopeless(&error) {
            self.broken.get_or_insert(error);
        } else {
            tracing::debug!(%error, group = self.group, topic = self.topic, "librdkafka");
        }
    }

    /// Why librdkafka has given the consumer up, if it has.
    pub(super) fn given_up(&self) -> Option<(RDKafkaErrorCode, String)> {
        self.consumer.client().fatal_error()
    }

    /// Goes on after librdkafka has given the consumer up: its partitions are lost, and another one joins in its place.
    /// False if there is nothing to be mended.
    pub(super) fn mend(&mut self, deadline: Instant) -> Result<bool, LogError> {
        if let Some(error) = self.broken.take() {
            return Err(self.cluster.failed(error));
        }
        let Some((code, why)) = self.given_up() else { return Ok(false) };
        match self.fenced.again(code, Instant::now()) {
            Again::Never => return Err(self.cluster.failed(why)),
            _ if !self.partitions.is_empty() => self.lose(),
            Again::Later => self.pause(deadline),
            Again::Now => self.rejoin()?,
        }
        Ok(true)
    }

    /// All partitions are others', and are to be announced so.
    fn lose(&mut self) {
        let is_told = |(number, partition): (&u32, &Partition)| partition.is_told.then_some(*number);
        let announce = self.partitions.iter().filter_map(is_told).collect();
        let partitions = self.partitions.keys().copied().collect();
        self.waiting.clear();
        self.leaving = Some(Leaving { partitions, announce, lost: true, is_asked: false });
    }

    /// Begins anew as another member.
    fn rejoin(&mut self) -> Result<(), LogError> {
        let (group, topic) = (&self.group, &self.topic);
        tracing::warn!(group, topic, "shut out by a member of the same group.instance.id, or as if so; joining again");
        self.fenced.joins(Instant::now());
        let (queue, consumer) = joined(&self.cluster, &self.topic, &self.group, self.worker)?;
        self.close();
        // In this order: a queue goes before its consumer.
        self.queue = queue;
        self.consumer = consumer;
        self.returned = Returned::new(&self.cluster.options.properties);
        Ok(())
    }

    /// Answers all that librdkafka waits for, without which it does not close.
    fn close(&mut self) {
        let context = self.consumer.context().clone();
        context.close(self.consumer.rebalance_protocol());
        let mut answers = Vec::new();
        let unplaced = self.partitions.iter().filter(|(_, partition)| partition.stage == Stage::Given);
        let unplaced: Vec<u32> = unplaced.map(|(number, _)| *number).collect();
        if !unplaced.is_empty() {
            answers.push(take_up(&self.consumer, &self.list(&unplaced)));
        }
        if let Some(leaving) = self.leaving.take() {
            answers.push(give_up(&self.consumer, &self.list(&leaving.partitions)));
        }
        while let Some(change) = context.change() {
            answers.push(match change {
                Change::Assigned(partitions) => take_up(&self.consumer, &self.list(&partitions)),
                Change::Revoked { partitions, .. } => give_up(&self.consumer, &self.list(&partitions)),
            });
        }
        for error in answers.into_iter().filter_map(Result::err) {
            tracing::debug!(%error, "closing a consumer");
        }
    }
}

impl Drop for Input {
    fn drop(&mut self) {
        self.close();
    }
}
