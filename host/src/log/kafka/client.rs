//! A client that can be made anew: when a broker has gone away, librdkafka may go on asking the one that is gone.

use std::sync::{Arc, Mutex, PoisonError};

use rdkafka::ClientConfig;
use rdkafka::config::FromClientConfigAndContext;
use rdkafka::error::{KafkaError, RDKafkaErrorCode};

use super::context::{Context, Refusal};

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

    /// Asks something of the client, which is made anew for the next time if nobody answers.
    pub(super) fn ask<T>(&self, question: impl FnOnce(&C) -> Result<T, KafkaError>) -> Result<T, KafkaError> {
        let client = self.get();
        let answer = question(&client);
        if answer.as_ref().is_err_and(is_silence) {
            (self.serve)(&client);
            let fresh = Arc::new(self.config.create_with_context(Context::noting(&self.refusal))?);
            *self.current.lock().unwrap_or_else(PoisonError::into_inner) = fresh;
        }
        answer
    }
}

fn is_silence(error: &KafkaError) -> bool {
    use RDKafkaErrorCode as Code;
    let silent = [Code::OperationTimedOut, Code::RequestTimedOut, Code::TimedOutQueue, Code::AllBrokersDown];
    let lost = [Code::BrokerTransportFailure, Code::NetworkException, Code::NotController];
    code_of(error).is_some_and(|code| silent.contains(&code) || lost.contains(&code))
}

/// The code of an error, if librdkafka or a broker has told one.
pub(super) fn code_of(error: &KafkaError) -> Option<RDKafkaErrorCode> {
    match error {
        // Not among those that `rdkafka_error_code` knows.
        KafkaError::AdminOp(code) => Some(*code),
        other => other.rdkafka_error_code(),
    }
}
