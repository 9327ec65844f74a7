//! Whose fault an error is, and whether it passes by itself.

use scylla::errors::{BadQuery, DbError, ExecutionError, PrepareError, RequestAttemptError};

use super::encode::Unfit;

/// What an error means for a statement.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Trouble {
    /// Nodes are away, slow or overloaded: the same statement may succeed later. Whether it already has is not known.
    Passing(String),
    /// The statement is that of a table of before, made anew since under the same name; it has to be prepared again.
    Stale(String),
    /// The row, or the table: the one if the table is still as it was.
    Row(String),
    /// The same, but no node was asked.
    Unfit(String),
    /// Neither: a statement that can never succeed, such as without permission.
    Final(String),
}

/// Of a row.
pub(super) fn of_row(error: &ExecutionError) -> Trouble {
    match error {
        ExecutionError::BadQuery(BadQuery::SerializationError(error)) => {
            let unfit = error.downcast_ref::<Unfit>();
            Trouble::Unfit(unfit.map_or_else(|| error.to_string(), Unfit::to_string))
        }
        ExecutionError::BadQuery(error) => Trouble::Unfit(error.to_string()),
        ExecutionError::LastAttemptError(error) => of_attempt(error),
        ExecutionError::PrepareError(error) => of_prepare(error),
        other => Trouble::Passing(other.to_string()),
    }
}

/// Of the preparation of a statement.
pub(super) fn of_prepare(error: &PrepareError) -> Trouble {
    match error {
        PrepareError::AllAttemptsFailed { first_attempt } => of_attempt(first_attempt),
        other => Trouble::Passing(other.to_string()),
    }
}

fn of_attempt(error: &RequestAttemptError) -> Trouble {
    match error {
        RequestAttemptError::DbError(error, message) => of_node(error, message),
        RequestAttemptError::SerializationError(error) => Trouble::Unfit(error.to_string()),
        RequestAttemptError::CqlRequestSerialization(error) => Trouble::Unfit(error.to_string()),
        RequestAttemptError::RepreparedIdChanged { .. } => Trouble::Stale(error.to_string()),
        other => Trouble::Passing(other.to_string()),
    }
}

/// What a node answers. A message says more than the name of its kind.
fn of_node(error: &DbError, message: &str) -> Trouble {
    match error {
        DbError::Invalid | DbError::ConfigError => Trouble::Row(message.to_owned()),
        DbError::SyntaxError | DbError::Unauthorized | DbError::AuthenticationError | DbError::ProtocolError => {
            Trouble::Final(message.to_owned())
        }
        other if message.is_empty() => Trouble::Passing(other.to_string()),
        // The node has a bound that is no business of a retry.
        _ if is_too_large(message) => Trouble::Row(message.to_owned()),
        DbError::Unavailable { required, alive, .. } => {
            Trouble::Passing(format!("{alive} of the {required} replicas that must have a row are there"))
        }
        DbError::WriteTimeout { received, required, .. } => {
            Trouble::Passing(format!("{received} of the {required} replicas that must have a row answered in time"))
        }
        _ => Trouble::Passing(message.to_owned()),
    }
}

/// Cassandra refuses a mutation that is larger than half of a segment of its commit log as an error of the server.
fn is_too_large(message: &str) -> bool {
    let message = message.to_ascii_lowercase();
    message.contains("larger than the maximum") || message.contains("exceeds the maximum size")
}

#[cfg(test)]
mod tests {
    use scylla::errors::WriteType;
    use scylla::statement::Consistency;

    use super::*;

    fn answer(error: DbError, message: &str) -> Trouble {
        of_row(&ExecutionError::LastAttemptError(RequestAttemptError::DbError(error, message.to_owned())))
    }

    #[test]
    fn nodes_that_are_away_slow_or_busy_are_waited_for() {
        let consistency = Consistency::Quorum;
        let timeout = DbError::WriteTimeout { consistency, received: 1, required: 2, write_type: WriteType::Simple };
        let failure = DbError::WriteFailure {
            consistency,
            received: 0,
            required: 1,
            numfailures: 1,
            write_type: WriteType::Simple,
        };
        for error in [
            DbError::Unavailable { consistency, required: 2, alive: 1 },
            timeout,
            failure,
            DbError::Overloaded,
            DbError::IsBootstrapping,
            DbError::ServerError,
        ] {
            assert!(matches!(answer(error, "why"), Trouble::Passing(_)));
        }
    }

    #[test]
    fn a_row_that_is_refused_for_itself_is_not_sent_again() {
        assert_eq!(answer(DbError::Invalid, "Key may not be empty"), Trouble::Row("Key may not be empty".to_owned()));
        let large = "Mutation of 9000000 bytes is larger than the maximum size of 8388608";
        assert!(matches!(answer(DbError::ServerError, large), Trouble::Row(_)));
        assert!(matches!(answer(DbError::Unauthorized, "no MODIFY"), Trouble::Final(_)));
        let (statement, expected_id, reprepared_id) = ("INSERT".to_owned(), vec![1], vec![2]);
        let reprepared = RequestAttemptError::RepreparedIdChanged { statement, expected_id, reprepared_id };
        assert!(matches!(of_row(&ExecutionError::LastAttemptError(reprepared)), Trouble::Stale(_)));
    }
}
