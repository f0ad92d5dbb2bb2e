//! An answer: a cheap handle on a shared value that knows where it came from.

use std::fmt;
use std::ops::Deref;
use std::sync::Arc;
use std::time::Duration;

use serde::{Serialize, Serializer};

/// Who answered.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Source {
    /// The memory layer of this process.
    Memory,
    /// Redis.
    Redis,
    /// A layer of your own, by its name.
    Layer(&'static str),
    /// The database, or the closure of `get_or_load`.
    Database,
}

impl Source {
    /// The name in words: `memory`, `redis`, `database`, or that of the layer.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Memory => "memory",
            Self::Redis => "redis",
            Self::Layer(name) => name,
            Self::Database => "database",
        }
    }
}

impl fmt::Display for Source {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}

/// A value that may be shared with the cache: use it like the value itself.
///
/// Cloning is a reference count, also for a list of a thousand rows. [`into_owned`](Self::into_owned) gives a value to
/// change.
///
/// # Examples
///
/// ```
/// # use pie::prelude::*;
/// # #[derive(Debug, Clone, Model)]
/// # #[cached(ttl = "5m")]
/// # struct User { #[pie(id, auto)] id: i64, name: String }
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> pie::Result<()> {
/// # let engine = Engine::builder().database("sqlite::memory:").build().await?;
/// # engine.create_tables::<(User,)>().await?;
/// # User::insert(&engine, NewUser { name: "Ann".into() }).await?;
/// let users = User::query(&engine).await?;
/// for user in &users {
///     println!("{}", user.name);
/// }
/// assert_eq!(users.source(), pie::Source::Database);
/// let mut mine = users.into_owned();
/// mine.clear();
/// # Ok(())
/// # }
/// ```
pub struct Cached<T> {
    value: Arc<T>,
    source: Source,
    /// In milliseconds.
    age: u64,
    stale: bool,
}

impl<T> Cached<T> {
    pub(crate) fn new(value: Arc<T>, source: Source, age_ms: u64) -> Self {
        Self { value, source, age: age_ms, stale: false }
    }

    pub(crate) fn stale(mut self, stale: bool) -> Self {
        self.stale = stale;
        self
    }

    /// Whether the value is past its time to live, and was served all the same because a policy (`stale`,
    /// `stale_if_error`, a soft timeout) allows it. Never so for a value that was invalidated.
    #[must_use]
    pub fn is_stale(&self) -> bool {
        self.stale
    }

    /// Who answered.
    #[must_use]
    pub fn source(&self) -> Source {
        self.source
    }

    /// How long before the answer the value was loaded from the database, in whole milliseconds.
    #[must_use]
    pub fn age(&self) -> Duration {
        Duration::from_millis(self.age)
    }

    /// The shared value.
    #[must_use]
    pub fn into_arc(self) -> Arc<T> {
        self.value
    }
}

/// A value of the program's own, as if it came from the database just now.
impl<T> From<T> for Cached<T> {
    fn from(value: T) -> Self {
        Self::new(Arc::new(value), Source::Database, 0)
    }
}

impl<T: Clone> Cached<T> {
    /// A value of your own; copied if the cache or another answer still holds it.
    #[must_use]
    pub fn into_owned(self) -> T {
        Arc::unwrap_or_clone(self.value)
    }
}

impl<T> Clone for Cached<T> {
    fn clone(&self) -> Self {
        Self { value: Arc::clone(&self.value), source: self.source, age: self.age, stale: self.stale }
    }
}

impl<T> Deref for Cached<T> {
    type Target = T;

    fn deref(&self) -> &T {
        &self.value
    }
}

impl<T> AsRef<T> for Cached<T> {
    fn as_ref(&self) -> &T {
        &self.value
    }
}

impl<T: fmt::Debug> fmt::Debug for Cached<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.value.fmt(f)
    }
}

impl<T: fmt::Display> fmt::Display for Cached<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.value.fmt(f)
    }
}

impl<T: PartialEq> PartialEq for Cached<T> {
    fn eq(&self, other: &Self) -> bool {
        self.value == other.value
    }
}

impl<T: PartialEq> PartialEq<T> for Cached<T> {
    fn eq(&self, other: &T) -> bool {
        *self.value == *other
    }
}

impl<T: Eq> Eq for Cached<T> {}

impl<T: Serialize> Serialize for Cached<T> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        self.value.serialize(serializer)
    }
}

impl<'c, T> IntoIterator for &'c Cached<Vec<T>> {
    type Item = &'c T;
    type IntoIter = std::slice::Iter<'c, T>;

    fn into_iter(self) -> Self::IntoIter {
        self.value.iter()
    }
}
