//! What a database server said, without what its messages quote: those of all servers may hold values of rows.

use std::fmt;

use crate::error::{Error, ErrorKind};

/// The code of an answer of a server, as the source of an error.
#[derive(Debug)]
pub(crate) struct Refusal {
    /// The server's code: a `SQLSTATE`, or the number of MySQL or MongoDB.
    pub(crate) code: String,
    /// The name of the constraint.
    pub(crate) constraint: Option<String>,
}

impl fmt::Display for Refusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "the server said {}", self.code)?;
        match &self.constraint {
            Some(name) => write!(f, ", constraint `{name}`"),
            None => Ok(()),
        }
    }
}

impl std::error::Error for Refusal {}

#[cfg(any(feature = "postgres", feature = "mysql"))]
/// The answer of a server that is the source of this error.
pub(crate) fn of(error: &Error) -> Option<&Refusal> {
    std::error::Error::source(error)?.downcast_ref()
}

#[cfg(any(feature = "postgres", feature = "mysql"))]
/// The errors that are the same for all servers: everything but what they answered. `None` for an answer.
pub(crate) fn failure(error: sqlx::Error) -> Error {
    let (kind, message): (ErrorKind, &'static str) = match error {
        sqlx::Error::PoolTimedOut => (
            ErrorKind::PoolTimeout,
            "no connection became free in time, or none could be opened; a task that has a transaction open must use it for its reads as well",
        ),
        sqlx::Error::PoolClosed => (ErrorKind::Closed, "the engine was closed"),
        sqlx::Error::Io(error) => {
            return Error::new(ErrorKind::Connection, "the database server cannot be reached, or went away")
                .with_source(error);
        }
        sqlx::Error::Tls(_) => (ErrorKind::Connection, "no TLS connection to the database server"),
        sqlx::Error::Protocol(_) => (
            ErrorKind::Connection,
            "the connection to the database server broke, or it is another kind of server",
        ),
        sqlx::Error::WorkerCrashed => (ErrorKind::Connection, "the connection's task ended"),
        sqlx::Error::BeginFailed => (ErrorKind::Connection, "the transaction did not begin"),
        sqlx::Error::Configuration(_) => (ErrorKind::InvalidConfig, "the database settings cannot be used"),
        sqlx::Error::Encode(_) => (ErrorKind::InvalidValue, "a value that the database cannot take"),
        sqlx::Error::ColumnDecode { .. } | sqlx::Error::Decode(_) => {
            (ErrorKind::Decode, "a value of the database cannot be read")
        }
        _ => (ErrorKind::Database, "the database call failed"),
    };
    Error::new(kind, message)
}

/// The URL without what may be secret, for an error: nothing of it.
pub(crate) fn bad_url(name: &str, example: &str) -> Error {
    Error::new(ErrorKind::InvalidConfig, format!("the {name} URL cannot be used: write `{example}`"))
}
