//! Why there is no session: whether nodes are away, or one side does not trust the other.

use std::io;

use scylla::errors::{
    BrokenConnectionErrorKind, ConnectionError, ConnectionPoolError, ConnectionSetupRequestErrorKind, DbError,
    FrameHeaderParseError, MetadataError, NewSessionError,
};

/// Why there is no session.
#[derive(Debug, thiserror::Error)]
pub(super) enum Failed {
    /// What was asked for cannot be.
    #[error("{0}")]
    Settings(String),
    /// The nodes do not trust this host, or it does not trust them.
    #[error("{0}")]
    Refused(String),
    /// Nodes are away.
    #[error("{0}")]
    Away(String),
}

// === impl Failed ===

impl Failed {
    /// Of an attempt at a session, encrypted or not. Without what the driver was about, which is always the same.
    pub(super) fn of(error: &NewSessionError, is_encrypted: bool) -> Self {
        let NewSessionError::MetadataError(MetadataError::ConnectionPoolError(ConnectionPoolError::Broken {
            last_connection_error: last,
        })) = error
        else {
            return Self::Away(error.to_string());
        };
        match last {
            ConnectionError::ConnectionSetupRequestError(setup) => of_setup(setup.get_error(), is_encrypted),
            ConnectionError::IoError(error) => of_io(error),
            other => Self::Away(other.to_string()),
        }
    }
}

/// Of the first words on a connection.
fn of_setup(error: &ConnectionSetupRequestErrorKind, is_encrypted: bool) -> Failed {
    use ConnectionSetupRequestErrorKind as Kind;
    match error {
        Kind::MissingAuthentication => {
            Failed::Refused("it asks for a password; name `username` and `password_file` in [cassandra]".to_owned())
        }
        Kind::DbError(DbError::AuthenticationError | DbError::Unauthorized, said) => Failed::Refused(said.clone()),
        Kind::StartAuthSessionError(_) | Kind::AuthChallengeEvaluationError(_) | Kind::AuthFinishError(_) => {
            Failed::Refused(error.to_string())
        }
        Kind::BrokenConnection(broken) => match broken.downcast_ref() {
            // A node tells what it thinks of a certificate when all else is done.
            Some(BrokenConnectionErrorKind::FrameHeaderParseError(FrameHeaderParseError::HeaderIoError(error))) => {
                of_io(error)
            }
            // Often the connection is gone before that is read.
            _ if is_encrypted => {
                let what = "TLS: nodes close connections that are hardly made; they may want another `certificate`";
                Failed::Refused(what.to_owned())
            }
            _ => Failed::Away(broken.to_string()),
        },
        other => Failed::Away(other.to_string()),
    }
}

fn of_io(error: &io::Error) -> Failed {
    let of_tls = error.get_ref().and_then(|error| error.downcast_ref::<openssl::ssl::Error>());
    match of_tls.and_then(openssl::ssl::Error::ssl_error) {
        Some(stack) => {
            let reasons: Vec<&str> = stack.errors().iter().filter_map(openssl::error::Error::reason).collect();
            Failed::Refused(format!("TLS: {}", reasons.join(", ")))
        }
        None => Failed::Away(error.to_string()),
    }
}
