//! The one error type of the crate.
//!
//! [`Error`] is a cheap, cloneable handle: every waiter on one load receives the same error. It names the model, the
//! column and the query it is about, never a value and never a password.

use std::borrow::Cow;
use std::error::Error as StdError;
use std::fmt;
use std::sync::Arc;

/// The result of every fallible call of the crate.
pub type Result<T, E = Error> = std::result::Result<T, E>;

/// What went wrong, as data to match on.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum ErrorKind {
    /// The row or the cache key does not exist, and the call requires it.
    NotFound,
    /// The value under a cache key is past its time to live.
    Expired,
    /// `one()` found more than one row.
    TooManyRows,
    /// A unique constraint (or the primary key) refused the write.
    UniqueViolation,
    /// A foreign key refused the write.
    ForeignKeyViolation,
    /// A `CHECK` constraint refused the write.
    CheckViolation,
    /// A `NULL` where the Rust type or the column has no room for one.
    NullValue,
    /// The table of the model does not exist in the database.
    MissingTable,
    /// A column of the model does not exist in the table or in the result.
    MissingColumn,
    /// A column holds another type than the field of the model.
    TypeMismatch,
    /// A value has the right type and a content that the field's type refuses.
    Decode,
    /// A value that the database cannot hold, for example a `u64` above `i64::MAX` in SQLite.
    InvalidValue,
    /// A query that cannot be run as written: page 0, an update with a limit, too many tags.
    InvalidQuery,
    /// A setting that cannot work: an unknown URL scheme, a jitter that is not a duration, no database at all.
    InvalidConfig,
    /// The database could not be reached or opened.
    Connection,
    /// No connection of the pool became free in time.
    PoolTimeout,
    /// The database is locked by another writer; trying again may help.
    Busy,
    /// A statement took longer than the database's limit for one, or was cancelled there.
    Timeout,
    /// The transaction cannot be put into an order with others that ran meanwhile, or met one in a deadlock: nothing of it was done, and
    /// running all of it again may help. [`Engine::transaction`](crate::Engine::transaction) does.
    SerializationFailure,
    /// A statement of the transaction failed, and the database takes no other until it is rolled back, or the savepoint is that the statement
    /// was in.
    TransactionFailed,
    /// The database has no such thing: savepoints in MongoDB, transactions on a MongoDB server that stands alone, SQL there and
    /// documents elsewhere.
    Unsupported,
    /// Any other refusal by the database.
    Database,
    /// A loader of the program's own failed; what it failed with is the source.
    Load,
    /// A load took longer than the reader's timeout. The load itself may go on for others.
    LoadTimeout,
    /// A cache layer failed. The result of calls that ask for the layer itself, and of queries only where `on_l2_down`
    /// says so.
    Layer,
    /// The transaction was already committed or rolled back.
    TransactionFinished,
    /// The cache is switched off by its configuration.
    Disabled,
    /// The engine was closed.
    Closed,
    /// A task of the engine was cancelled or panicked, for example because the runtime shut down.
    Interrupted,
}

impl ErrorKind {
    /// The name of the kind in words, as it stands in messages.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::NotFound => "not found",
            Self::Expired => "expired",
            Self::TooManyRows => "too many rows",
            Self::UniqueViolation => "unique violation",
            Self::ForeignKeyViolation => "foreign key violation",
            Self::CheckViolation => "check violation",
            Self::NullValue => "null value",
            Self::MissingTable => "missing table",
            Self::MissingColumn => "missing column",
            Self::TypeMismatch => "type mismatch",
            Self::Decode => "undecodable value",
            Self::InvalidValue => "invalid value",
            Self::InvalidQuery => "invalid query",
            Self::InvalidConfig => "invalid configuration",
            Self::Connection => "connection failed",
            Self::PoolTimeout => "pool timed out",
            Self::Busy => "database busy",
            Self::Timeout => "statement timed out",
            Self::SerializationFailure => "serialization failure",
            Self::TransactionFailed => "transaction failed",
            Self::Unsupported => "not supported",
            Self::Database => "database error",
            Self::Load => "load failed",
            Self::LoadTimeout => "load timed out",
            Self::Layer => "cache layer failed",
            Self::TransactionFinished => "transaction finished",
            Self::Disabled => "cache disabled",
            Self::Closed => "engine closed",
            Self::Interrupted => "interrupted",
        }
    }
}

impl fmt::Display for ErrorKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

type Source = Arc<dyn StdError + Send + Sync + 'static>;

#[derive(Clone)]
struct Inner {
    kind: ErrorKind,
    message: Cow<'static, str>,
    model: Option<&'static str>,
    column: Option<Cow<'static, str>>,
    query: Option<Cow<'static, str>>,
    source: Option<Source>,
    /// The error of a cached function, for those who waited for the same load.
    carried: Option<Arc<dyn std::any::Any + Send + Sync>>,
}

/// Why a call failed: a [kind](ErrorKind), a sentence, and the model, column and query it is about.
///
/// Cloning is a reference count. Messages are lower-case, name what was wrong and never hold a value of a row.
///
/// # Examples
///
/// ```
/// use pie::{Error, ErrorKind};
///
/// fn answer(error: &Error) -> u16 {
///     match error.kind() {
///         ErrorKind::NotFound => 404,
///         ErrorKind::UniqueViolation => 409,
///         _ => 500,
///     }
/// }
/// ```
#[derive(Clone)]
pub struct Error(Arc<Inner>);

impl Error {
    /// An error of this kind with this message.
    ///
    /// Made by [`Database`](crate::database::Database) and [`CacheLayer`](crate::cache::CacheLayer) implementations;
    /// keep values and secrets out of the message.
    pub fn new(kind: ErrorKind, message: impl Into<Cow<'static, str>>) -> Self {
        Self(Arc::new(Inner {
            kind,
            message: message.into(),
            model: None,
            column: None,
            query: None,
            source: None,
            carried: None,
        }))
    }

    /// The same error, with what caused it.
    #[must_use]
    pub fn with_source(mut self, source: impl StdError + Send + Sync + 'static) -> Self {
        Arc::make_mut(&mut self.0).source = Some(Arc::new(source));
        self
    }

    /// The same error, naming the model it is about unless one is named already.
    #[must_use]
    pub fn with_model(mut self, model: &'static str) -> Self {
        if self.0.model.is_none() {
            Arc::make_mut(&mut self.0).model = Some(model);
        }
        self
    }

    /// The same error, naming the column it is about unless one is named already.
    #[must_use]
    pub fn with_column(mut self, column: impl Into<Cow<'static, str>>) -> Self {
        if self.0.column.is_none() {
            Arc::make_mut(&mut self.0).column = Some(column.into());
        }
        self
    }

    /// The same error, naming the query it is about unless one is named already.
    #[must_use]
    pub fn with_query(mut self, query: impl Into<Cow<'static, str>>) -> Self {
        if self.0.query.is_none() {
            Arc::make_mut(&mut self.0).query = Some(query.into());
        }
        self
    }

    /// The same error, with more to say.
    #[cfg(feature = "mongodb")]
    pub(crate) fn with_message(&self, message: impl FnOnce(&str) -> String) -> Self {
        let mut error = self.clone();
        let text = message(&error.0.message);
        Arc::make_mut(&mut error.0).message = text.into();
        error
    }

    /// The same error, with a program's own in it.
    #[must_use]
    pub(crate) fn carrying(mut self, error: Option<Arc<dyn std::any::Any + Send + Sync>>) -> Self {
        Arc::make_mut(&mut self.0).carried = error;
        self
    }

    /// A program's own error.
    pub(crate) fn carried(&self) -> Option<&(dyn std::any::Any + Send + Sync)> {
        self.0.carried.as_deref()
    }

    /// What went wrong.
    #[must_use]
    pub fn kind(&self) -> ErrorKind {
        self.0.kind
    }

    /// The model it is about, by its Rust name.
    #[must_use]
    pub fn model(&self) -> Option<&str> {
        self.0.model
    }

    /// The column it is about, by its name in the database.
    #[must_use]
    pub fn column(&self) -> Option<&str> {
        self.0.column.as_deref()
    }

    /// The query it is about, for example `find_by_email`.
    #[must_use]
    pub fn query(&self) -> Option<&str> {
        self.0.query.as_deref()
    }

    /// Whether a required row or key is missing.
    #[must_use]
    pub fn is_not_found(&self) -> bool {
        self.0.kind == ErrorKind::NotFound
    }

    /// Whether a value in the cache is past its time to live.
    #[must_use]
    pub fn is_expired(&self) -> bool {
        self.0.kind == ErrorKind::Expired
    }

    /// Whether the cache is switched off.
    #[must_use]
    pub fn is_disabled(&self) -> bool {
        self.0.kind == ErrorKind::Disabled
    }

    /// Whether a unique constraint refused the write.
    #[must_use]
    pub fn is_unique_violation(&self) -> bool {
        self.0.kind == ErrorKind::UniqueViolation
    }

    /// Whether the same call may succeed when it is made again: the database was busy or slow, or no connection was free. After a
    /// [serialization failure](ErrorKind::SerializationFailure) the whole transaction has to be made again.
    #[must_use]
    pub fn is_retryable(&self) -> bool {
        use ErrorKind::{Busy, LoadTimeout, PoolTimeout, SerializationFailure, Timeout};
        matches!(self.0.kind, Busy | SerializationFailure | PoolTimeout | LoadTimeout | Timeout)
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let inner = &*self.0;
        f.write_str(&inner.message)?;
        let mut open = false;
        let parts =
            [("model", inner.model), ("column", inner.column.as_deref()), ("query", inner.query.as_deref())];
        for (name, value) in parts {
            if let Some(value) = value {
                f.write_str(if open { ", " } else { " (" })?;
                open = true;
                write!(f, "{name} `{value}`")?;
            }
        }
        if open { f.write_str(")") } else { Ok(()) }
    }
}

impl fmt::Debug for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // The source's own `Debug` may print rows of the database; its `Display` is what the message promises.
        let mut out = f.debug_struct("Error");
        out.field("kind", &self.0.kind).field("message", &format_args!("{self}"));
        if let Some(source) = &self.0.source {
            out.field("source", &format_args!("{source}"));
        }
        out.finish()
    }
}

impl StdError for Error {
    fn source(&self) -> Option<&(dyn StdError + 'static)> {
        self.0.source.as_deref().map(|source| source as &(dyn StdError + 'static))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_what_it_is_about_and_keeps_the_first_name() {
        let error = Error::new(ErrorKind::UniqueViolation, "a row with this value exists already")
            .with_column("email")
            .with_model("User")
            .with_model("Other")
            .with_query("insert");
        assert_eq!(
            error.to_string(),
            "a row with this value exists already (model `User`, column `email`, query `insert`)"
        );
        assert!(error.is_unique_violation());
        assert!(!error.is_retryable());
    }

    #[test]
    fn a_clone_is_unchanged_by_context_added_later() {
        let first = Error::new(ErrorKind::Database, "no");
        let second = first.clone().with_model("User");
        assert_eq!(first.model(), None);
        assert_eq!(second.model(), Some("User"));
    }
}
