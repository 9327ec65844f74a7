//! A client that can be made anew: when a broker has gone away, librdkafka may go on asking the one that is gone.

use std::sync::{Arc, Mutex, PoisonError};

use rdkafka::ClientConfig;
use rdkafka::config::FromClientConfigAndContext;
use rdkafka::error::{KafkaError, RDKafkaErrorCode};

use super::context::Context;

/// A client that is in no group.
pub(super) struct Client<C> {
    config: ClientConfig,
    current: Mutex<Arc<C>>,
}

impl<C: FromClientConfigAndContext<Context>> Client<C> {
    pub(super) fn new(config: ClientConfig) -> Result<Self, KafkaError> {
        let current = Mutex::new(Arc::new(config.create_with_context(Context::default())?));
        Ok(Self { config, current })
    }

    /// The client as it is now. Who tries again asks again.
    pub(super) fn get(&self) -> Arc<C> {
        self.current.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Makes it anew if the error says that nobody has answered.
    pub(super) fn renew_after(&self, error: &KafkaError) -> Result<(), KafkaError> {
        use RDKafkaErrorCode as Code;
        let silent = [Code::OperationTimedOut, Code::RequestTimedOut, Code::TimedOutQueue, Code::AllBrokersDown];
        let lost = [Code::BrokerTransportFailure, Code::NetworkException, Code::NotController];
        if code_of(error).is_some_and(|code| silent.contains(&code) || lost.contains(&code)) {
            let fresh = Arc::new(self.config.create_with_context(Context::default())?);
            *self.current.lock().unwrap_or_else(PoisonError::into_inner) = fresh;
        }
        Ok(())
    }
}

/// The code of an error, if librdkafka or a broker has told one.
pub(super) fn code_of(error: &KafkaError) -> Option<RDKafkaErrorCode> {
    match error {
        // Not among those that `rdkafka_error_code` knows.
        KafkaError::AdminOp(code) => Some(*code),
        other => other.rdkafka_error_code(),
    }
}
