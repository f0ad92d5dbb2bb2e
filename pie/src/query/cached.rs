//! An answer: a cheap handle on a shared value that knows where it came from.

use std::fmt;
use std::ops::Deref;
use std::sync::Arc;
use std::time::Duration;

use serde::{Serialize, Serializer};

use crate::cache::entry::AnyValue;
use crate::layers::memory::Sight;

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
/// change. What came from memory is borrowed from there, without touching a count that other readers touch; it stays what it
/// was, whatever is written or evicted meanwhile, and may go to another thread. Where a value is used very often in a loop,
/// dereference it once before: each time its type is looked up.
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
    value: Hold<T>,
    source: Source,
    /// In milliseconds.
    age: u64,
    stale: bool,
}

/// How an answer has its value.
enum Hold<T> {
    /// A share of it.
    Own(Arc<T>),
    /// Borrowed from memory: no count of the value is touched, so that threads which read the same one do not wait for each other.
    Lent {
        sight: Sight,
        /// The value of the entry as what it is; of another type it would not have been lent.
        view: fn(&AnyValue) -> Option<&T>,
        share: fn(&AnyValue) -> Option<Arc<T>>,
    },
}

impl<T> Hold<T> {
    fn share(&self) -> Arc<T> {
        match self {
            Self::Own(value) => Arc::clone(value),
            Self::Lent { sight, share, .. } => match share(sight.entry().value()) {
                Some(value) => value,
                None => unreachable!("its type was looked at when it was lent"),
            },
        }
    }
}

impl<T: Send + Sync + 'static> Cached<T> {
    /// What memory has, left where it is; `None` for a value of another type.
    #[inline(always)]
    pub(crate) fn lent(sight: Sight, source: Source, age_ms: u64) -> Option<Self> {
        let view: fn(&AnyValue) -> Option<&T> = |value| value.downcast_ref::<T>();
        view(sight.entry().value())?;
        let value = Hold::Lent { sight, view, share: |value| Arc::clone(value).downcast::<T>().ok() };
        Some(Self { value, source, age: age_ms, stale: false })
    }
}

impl<T> Cached<T> {
    pub(crate) fn new(value: Arc<T>, source: Source, age_ms: u64) -> Self {
        Self { value: Hold::Own(value), source, age: age_ms, stale: false }
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
        match self.value {
            Hold::Own(value) => value,
            lent @ Hold::Lent { .. } => lent.share(),
        }
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
        match self.value {
            Hold::Own(value) => Arc::unwrap_or_clone(value),
            // The cache holds it as well.
            Hold::Lent { .. } => T::clone(&self),
        }
    }
}

impl<T> Clone for Cached<T> {
    fn clone(&self) -> Self {
        Self { value: Hold::Own(self.value.share()), source: self.source, age: self.age, stale: self.stale }
    }
}

impl<T> Deref for Cached<T> {
    type Target = T;

    #[inline]
    fn deref(&self) -> &T {
        match &self.value {
            Hold::Own(value) => value,
            Hold::Lent { sight, view, .. } => match view(sight.entry().value()) {
                Some(value) => value,
                None => unreachable!("its type was looked at when it was lent"),
            },
        }
    }
}

impl<T> AsRef<T> for Cached<T> {
    fn as_ref(&self) -> &T {
        self
    }
}

impl<T: fmt::Debug> fmt::Debug for Cached<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        T::fmt(self, f)
    }
}

impl<T: fmt::Display> fmt::Display for Cached<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        T::fmt(self, f)
    }
}

impl<T: PartialEq> PartialEq for Cached<T> {
    fn eq(&self, other: &Self) -> bool {
        **self == **other
    }
}

impl<T: PartialEq> PartialEq<T> for Cached<T> {
    fn eq(&self, other: &T) -> bool {
        **self == *other
    }
}

impl<T: Eq> Eq for Cached<T> {}

impl<T: Serialize> Serialize for Cached<T> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        T::serialize(self, serializer)
    }
}

impl<'c, T> IntoIterator for &'c Cached<Vec<T>> {
    type Item = &'c T;
    type IntoIter = std::slice::Iter<'c, T>;

    fn into_iter(self) -> Self::IntoIter {
        self.iter()
    }
}
