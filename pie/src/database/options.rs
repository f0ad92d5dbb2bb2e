//! How a transaction begins.

use std::fmt;
use std::str::FromStr;

use crate::error::{Error, ErrorKind};

/// How much a transaction sees of others that run at the same time.
///
/// A database may keep more apart than was asked for: SQLite runs all transactions as [`Serializable`](Self::Serializable).
///
/// `READ UNCOMMITTED` is not among them: what was never committed would be read, and what a write touched could not be told.
/// It is refused as text as well, in [`str::parse`] and in raw SQL, and so is a database whose connections are set to it.
///
/// # Examples
///
/// ```
/// use pie::Isolation;
///
/// assert_eq!("repeatable read".parse::<Isolation>()?, Isolation::RepeatableRead);
/// let error = "READ UNCOMMITTED".parse::<Isolation>().unwrap_err();
/// assert!(error.to_string().contains("write `read committed`"));
/// # Ok::<(), pie::Error>(())
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Isolation {
    /// Each statement sees what was committed before it.
    ReadCommitted,
    /// All statements see what was committed before the first of them.
    RepeatableRead,
    /// As if the transactions had run one after the other; what cannot be made to look so fails with
    /// [`ErrorKind::SerializationFailure`].
    Serializable,
}

impl Isolation {
    /// The words of the SQL standard: `REPEATABLE READ`.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::ReadCommitted => "READ COMMITTED",
            Self::RepeatableRead => "REPEATABLE READ",
            Self::Serializable => "SERIALIZABLE",
        }
    }
}

impl fmt::Display for Isolation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl FromStr for Isolation {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self, Error> {
        let words = text.split(|c: char| !c.is_ascii_alphabetic()).filter(|word| !word.is_empty());
        let words = words.collect::<Vec<_>>().join(" ").to_ascii_uppercase();
        match words.as_str() {
            "READ COMMITTED" => Ok(Self::ReadCommitted),
            "REPEATABLE READ" => Ok(Self::RepeatableRead),
            "SERIALIZABLE" => Ok(Self::Serializable),
            "READ UNCOMMITTED" => Err(read_uncommitted()),
            _ => Err(Error::new(
                ErrorKind::InvalidConfig,
                "unknown isolation level: write `read committed`, `repeatable read` or `serializable`",
            )),
        }
    }
}

/// Why `READ UNCOMMITTED` is refused.
pub(crate) fn read_uncommitted() -> Error {
    Error::new(
        ErrorKind::InvalidConfig,
        "READ UNCOMMITTED reads what may never be committed, and the cache would keep it: write `read committed`",
    )
}

/// Whether a statement switches `READ UNCOMMITTED` on.
pub(crate) fn says_read_uncommitted(text: &str) -> bool {
    let mut words = text
        .split(|c: char| !c.is_ascii_alphanumeric() && c != '_')
        .filter(|word| !word.is_empty())
        .map(str::to_ascii_lowercase);
    let (mut first, mut sets, mut level) = (true, false, false);
    let mut last = String::new();
    while let Some(word) = words.next() {
        // `SET TRANSACTION …`, `BEGIN …`, `START TRANSACTION …`, `PRAGMA …`: a text that is bound or quoted in a query is none of these.
        sets |= first && matches!(word.as_str(), "set" | "begin" | "start" | "pragma");
        first = false;
        let on = |next: Option<String>| !matches!(next.as_deref(), None | Some("0" | "off" | "false" | "no"));
        level |=
            (last == "read" && word == "uncommitted") || (word == "read_uncommitted" && on(words.next()));
        last = word;
    }
    sets && level
}

/// How a transaction begins and what it may do; what [`Engine::begin_with`](crate::Engine::begin_with) and
/// [`Engine::transaction_with`](crate::Engine::transaction_with) take.
///
/// # Examples
///
/// ```
/// use pie::{Isolation, TxOptions};
///
/// let options = TxOptions::new().isolation(Isolation::Serializable).retries(5);
/// let report = TxOptions::new().read_only();
/// # assert!(report.read_only && options.retries == 5);
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub struct TxOptions {
    /// The isolation level; `None` for the database's own.
    pub isolation: Option<Isolation>,
    /// Whether it only reads.
    pub read_only: bool,
    /// How often a closure is run again after a serialization failure.
    pub retries: u32,
}

impl Default for TxOptions {
    /// The database's own isolation level, reads and writes, 3 retries.
    fn default() -> Self {
        Self { isolation: None, read_only: false, retries: 3 }
    }
}

impl TxOptions {
    /// The database's own isolation level, reads and writes, 3 retries.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Sets the isolation level.
    #[must_use]
    pub fn isolation(mut self, isolation: Isolation) -> Self {
        self.isolation = Some(isolation);
        self
    }

    /// Allows reads only: writes through the transaction, and raw SQL that may write, are refused with
    /// [`ErrorKind::InvalidQuery`]. It keeps no writer waiting.
    #[must_use]
    pub fn read_only(mut self) -> Self {
        self.read_only = true;
        self
    }

    /// Sets how often a closure is run again after a [serialization failure](ErrorKind::SerializationFailure), after a pause that
    /// grows (10 to 20 milliseconds, then twice that, and so on, up to a second). 0 for never.
    #[must_use]
    pub fn retries(mut self, retries: u32) -> Self {
        self.retries = retries;
        self
    }
}

#[cfg(test)]
mod tests {
    use super::says_read_uncommitted;

    #[test]
    fn switching_it_on_is_recognised_and_naming_it_is_no_crime() {
        for text in [
            "SET TRANSACTION ISOLATION LEVEL READ UNCOMMITTED",
            "set session transaction isolation level read  uncommitted;",
            "PRAGMA read_uncommitted = 1",
            "pragma read_uncommitted(true)",
            "BEGIN ISOLATION LEVEL READ UNCOMMITTED",
            "START TRANSACTION ISOLATION LEVEL READ\nUNCOMMITTED",
        ] {
            assert!(says_read_uncommitted(text), "{text}");
        }
        for text in [
            "PRAGMA read_uncommitted",
            "PRAGMA read_uncommitted = 0",
            "SELECT 'read uncommitted'",
            "SET TRANSACTION ISOLATION LEVEL READ COMMITTED",
            "UPDATE notes SET text = 'read uncommitted'",
        ] {
            assert!(!says_read_uncommitted(text), "{text}");
        }
    }
}
