//! A client that can be made anew: when a broker has gone away, librdkafka may go on asking the one that is gone; and what a
//! client in no group has heard of a topic it takes to be so for minutes, when partitions were added long since.

use std::sync::{Arc, Mutex, PoisonError};

use rdkafka::ClientConfig;
use rdkafka::config::FromClientConfigAndContext;
use rdkafka::error::{KafkaError, RDKafkaErrorCode};

use super::context::{Context, Refusal};
use crate::log::LogError;

/// A client that is in no group.
pub(super) struct Client<C> {
    config: ClientConfig,
    refusal: Arc<Refusal>,
    /// Hears what the client has to say.
    serve: fn(&C),
    current: Mutex<Arc<C>>,
}

impl<C: FromClientConfigAndContext<Context>> Client<C> {
    pub(super) fn new(config: ClientConfig, refusal: &Arc<Refusal>, serve: fn(&C)) -> Result<Self, KafkaError> {
        let current = Mutex::new(Arc::new(config.create_with_context(Context::noting(refusal))?));
        Ok(Self { config, refusal: refusal.clone(), serve, current })
    }

    /// The client as it is now.
    pub(super) fn get(&self) -> Arc<C> {
        self.current.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Asks something of the client, which is made anew for the next time if nobody answers, or if what it has heard may
    /// be out of date.
    pub(super) fn ask<T>(&self, question: impl FnOnce(&C) -> Result<T, KafkaError>) -> Result<T, KafkaError> {
        let client = self.get();
        let answer = question(&client);
        if answer.as_ref().is_err_and(is_out_of_touch) {
            (self.serve)(&client);
            let fresh = Arc::new(self.config.create_with_context(Context::noting(&self.refusal))?);
            *self.current.lock().unwrap_or_else(PoisonError::into_inner) = fresh;
        }
        answer
    }
}

fn is_out_of_touch(error: &KafkaError) -> bool {
    use RDKafkaErrorCode as Code;
    let silent = [Code::OperationTimedOut, Code::RequestTimedOut, Code::TimedOutQueue, Code::AllBrokersDown];
    let lost = [Code::BrokerTransportFailure, Code::NetworkException, Code::NotController];
    let is_silent = |code: Code| silent.contains(&code) || lost.contains(&code);
    // Unknown is also a partition that had no leader yet when the client heard of the topic.
    code_of(error).is_some_and(|code| is_silent(code) || code == Code::UnknownPartition)
}

/// The code of an error, if librdkafka or a broker has told one.
pub(super) fn code_of(error: &KafkaError) -> Option<RDKafkaErrorCode> {
    match error {
        // Not among those that `rdkafka_error_code` knows.
        KafkaError::AdminOp(code) => Some(*code),
        other => other.rdkafka_error_code(),
    }
}

/// Whether it may pass by itself: brokers that are away or busy with becoming ready.
pub(super) fn is_passing(error: &KafkaError) -> bool {
    use RDKafkaErrorCode as Code;
    matches!(error, KafkaError::Canceled)
        || code_of(error).is_some_and(|code| {
            matches!(
                code,
                Code::BrokerTransportFailure
                    | Code::AllBrokersDown
                    | Code::DestroyBroker
                    | Code::Resolve
                    | Code::OperationTimedOut
                    | Code::MessageTimedOut
                    | Code::RequestTimedOut
                    | Code::TimedOutQueue
                    | Code::WaitingForCoordinator
                    | Code::LeaderNotAvailable
                    | Code::NotLeaderForPartition
                    | Code::BrokerNotAvailable
                    | Code::ReplicaNotAvailable
                    | Code::NetworkException
                    | Code::CoordinatorLoadInProgress
                    | Code::CoordinatorNotAvailable
                    | Code::NotCoordinator
                    | Code::NotController
                    | Code::UnstableOffsetCommit
                    | Code::UnknownTopicOrPartition
                    | Code::UnknownPartition
                    | Code::UnknownTopic
                    // Just after a leader was elected, or its disk has failed.
                    | Code::OffsetNotAvailable
                    | Code::FencedLeaderEpoch
                    | Code::UnknownLeaderEpoch
                    | Code::ListenerNotFound
                    | Code::KafkaStorageError
                    | Code::ThrottlingQuotaExceeded
            )
        })
}

/// The same of what the log has failed of. Who is refused may be let in again, and records may come yet: only what brokers
/// have said for good is for good.
pub(super) fn has_passing_cause(error: &LogError) -> bool {
    match error {
        LogError::Store { source, .. } => source.downcast_ref::<KafkaError>().is_none_or(is_passing),
        _ => false,
    }
}

/// Whether a consumer cannot go on after it. What is fatal to librdkafka is not among these: the client itself is asked for it
/// (`input/given_up.rs`), as a member that was shut out may join again.
pub(super) fn is_hopeless(error: &KafkaError) -> bool {
    use RDKafkaErrorCode as Code;
    error.rdkafka_error_code().is_some_and(|code| {
        matches!(
            code,
            Code::TopicAuthorizationFailed
                | Code::GroupAuthorizationFailed
                | Code::SaslAuthenticationFailed
                | Code::InvalidGroupId
                | Code::InconsistentGroupProtocol
                | Code::UnsupportedVersion
        )
    })
}

/// Seeking fails for a moment where reading has just begun.
pub(super) fn is_erroneous_state(error: &KafkaError) -> bool {
    error.rdkafka_error_code() == Some(RDKafkaErrorCode::State) || matches!(error, KafkaError::Seek(_))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_leader_that_is_not_ready_is_waited_for() {
        let of_metadata = |code| is_passing(&KafkaError::MetadataFetch(code));
        assert!(
            [RDKafkaErrorCode::OffsetNotAvailable, RDKafkaErrorCode::LeaderNotAvailable].map(of_metadata) == [true; 2]
        );
        assert!(!of_metadata(RDKafkaErrorCode::TopicAuthorizationFailed));
    }

    #[test]
    fn what_was_heard_of_a_topic_is_not_believed_for_ever() {
        let of_metadata = |code| is_out_of_touch(&KafkaError::MetadataFetch(code));
        assert!([RDKafkaErrorCode::UnknownPartition, RDKafkaErrorCode::AllBrokersDown].map(of_metadata) == [true; 2]);
        assert!(!of_metadata(RDKafkaErrorCode::OffsetNotAvailable));
    }
}
