//! An answer: a cheap handle on a shared value that knows where it came from.

use std::fmt;
use std::ops::Deref;
use std::sync::Arc;
use std::time::Duration;

use serde::{Serialize, Serializer};

use crate::layers::memory::Sight;
use crate::query::told::{Source, Told};

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
    told: Told,
}

/// How an answer has its value.
enum Hold<T> {
    /// A share of it.
    Own(Arc<T>),
    /// Borrowed from memory: no count of the value is touched, so that threads which read the same one do not wait for each other.
    Lent(Sight),
}

impl<T: Send + Sync + 'static> Hold<T> {
    fn share(&self) -> Arc<T> {
        match self {
            Self::Own(value) => Arc::clone(value),
            Self::Lent(sight) => match Arc::clone(sight.entry().value()).downcast() {
                Ok(value) => value,
                Err(_) => unreachable!("its type was looked at when it was lent"),
            },
        }
    }
}

impl<T: Send + Sync + 'static> Cached<T> {
    /// What memory has, left where it is; `None` for a value of another type.
    #[inline(always)]
    pub(crate) fn lent(sight: Sight, told: Told) -> Option<Self> {
        if sight.entry().value().is::<T>() { Some(Self { value: Hold::Lent(sight), told }) } else { None }
    }

    /// The shared value.
    #[must_use]
    pub fn into_arc(self) -> Arc<T> {
        match self.value {
            Hold::Own(value) => value,
            lent @ Hold::Lent(_) => lent.share(),
        }
    }
}

impl<T> Cached<T> {
    pub(crate) fn told(value: Arc<T>, told: Told) -> Self {
        Self { value: Hold::Own(value), told }
    }

    /// A value that was loaded just now.
    pub(crate) fn loaded(value: Arc<T>) -> Self {
        Self::told(value, Told::LOADED)
    }

    /// Whether the value is past its time to live, and was served all the same because a policy (`stale`,
    /// `stale_if_error`, a soft timeout) allows it. Never so for a value that was invalidated.
    #[must_use]
    pub fn is_stale(&self) -> bool {
        self.told.is_stale()
    }

    /// Who answered.
    #[must_use]
    pub fn source(&self) -> Source {
        self.told.source()
    }

    /// How long before the answer the value was loaded from the database, in whole milliseconds.
    #[must_use]
    pub fn age(&self) -> Duration {
        self.told.age()
    }
}

/// A value of the program's own, as if it came from the database just now.
impl<T> From<T> for Cached<T> {
    fn from(value: T) -> Self {
        Self::loaded(Arc::new(value))
    }
}

impl<T: Clone + Send + Sync + 'static> Cached<T> {
    /// A value of your own; copied if the cache or another answer still holds it.
    #[must_use]
    pub fn into_owned(self) -> T {
        match self.value {
            Hold::Own(value) => Arc::unwrap_or_clone(value),
            // The cache holds it as well.
            Hold::Lent(_) => T::clone(&self),
        }
    }
}

impl<T: Send + Sync + 'static> Clone for Cached<T> {
    fn clone(&self) -> Self {
        Self { value: Hold::Own(self.value.share()), told: self.told }
    }
}

impl<T: Send + Sync + 'static> Deref for Cached<T> {
    type Target = T;

    #[inline]
    fn deref(&self) -> &T {
        match &self.value {
            Hold::Own(value) => value,
            Hold::Lent(sight) => match sight.entry().value().downcast_ref() {
                Some(value) => value,
                None => unreachable!("its type was looked at when it was lent"),
            },
        }
    }
}

impl<T: Send + Sync + 'static> AsRef<T> for Cached<T> {
    fn as_ref(&self) -> &T {
        self
    }
}

impl<T: fmt::Debug + Send + Sync + 'static> fmt::Debug for Cached<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        T::fmt(self, f)
    }
}

impl<T: fmt::Display + Send + Sync + 'static> fmt::Display for Cached<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        T::fmt(self, f)
    }
}

impl<T: PartialEq + Send + Sync + 'static> PartialEq for Cached<T> {
    fn eq(&self, other: &Self) -> bool {
        **self == **other
    }
}

impl<T: PartialEq + Send + Sync + 'static> PartialEq<T> for Cached<T> {
    fn eq(&self, other: &T) -> bool {
        **self == *other
    }
}

impl<T: Eq + Send + Sync + 'static> Eq for Cached<T> {}

impl<T: Serialize + Send + Sync + 'static> Serialize for Cached<T> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        T::serialize(self, serializer)
    }
}

impl<'c, T: Send + Sync + 'static> IntoIterator for &'c Cached<Vec<T>> {
    type Item = &'c T;
    type IntoIter = std::slice::Iter<'c, T>;

    fn into_iter(self) -> Self::IntoIter {
        self.iter()
    }
}
