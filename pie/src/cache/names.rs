//! What a value depends on, as a shared layer is told of it, and what the layer says to that.

use std::fmt;
use std::iter::{Chain, Once, once};
use std::ops::Deref;
use std::slice;
use std::sync::{Arc, OnceLock};

use smallvec::SmallVec;

use super::stamps::{Slots, StampName, Stamps};
use crate::codec::Token;

/// The names that a value depends on: that of its own key first, then the others.
///
/// The rows of one model have all names but the first in common; several reads of one call may then borrow the same list of
/// [`others`](Self::others).
///
/// # Examples
/// ```
/// use pie::cache::Names;
///
/// fn texts(names: Names<'_>) -> Vec<String> {
///     names.iter().map(|name| name.as_str().to_owned()).collect()
/// }
/// ```
#[derive(Debug, Clone, Copy)]
pub struct Names<'a> {
    own: &'a StampName,
    others: &'a [StampName],
}

impl<'a> Names<'a> {
    pub(crate) fn new(own: &'a StampName, others: &'a [StampName]) -> Self {
        Self { own, others }
    }

    /// The name of the key itself.
    #[must_use]
    pub fn own(self) -> &'a StampName {
        self.own
    }

    /// All names but the key's own.
    #[must_use]
    pub fn others(self) -> &'a [StampName] {
        self.others
    }

    /// How many names there are: one at least.
    #[must_use]
    #[allow(clippy::len_without_is_empty, reason = "there is always the key's own")]
    pub fn len(self) -> usize {
        1 + self.others.len()
    }

    /// All names, the key's own first.
    pub fn iter(self) -> impl Iterator<Item = &'a StampName> {
        self.into_iter()
    }
}

impl<'a> IntoIterator for Names<'a> {
    type Item = &'a StampName;
    type IntoIter = Chain<Once<&'a StampName>, slice::Iter<'a, StampName>>;

    fn into_iter(self) -> Self::IntoIter {
        once(self.own).chain(self.others)
    }
}

/// What a value depends on besides the name of its key; the rows of a model share one.
#[derive(Debug)]
pub(crate) struct Others {
    names: SmallVec<[StampName; 4]>,
    /// Where the versions of the names are, once it was asked for.
    slots: OnceLock<Slots>,
}

impl Others {
    /// Where the versions of the names are in the versions of an engine; always the same one's.
    pub(crate) fn slots(&self, stamps: &Stamps) -> &Slots {
        self.slots.get_or_init(|| stamps.slots(&self.names))
    }
}

impl Deref for Others {
    type Target = [StampName];

    fn deref(&self) -> &[StampName] {
        &self.names
    }
}

impl FromIterator<StampName> for Others {
    fn from_iter<I: IntoIterator<Item = StampName>>(names: I) -> Self {
        Self { names: names.into_iter().collect(), slots: OnceLock::new() }
    }
}

/// The tokens of a reply: a list of its own, or a part of one that several replies share.
///
/// Cloning is a reference count.
///
/// # Examples
/// ```
/// use pie::cache::Tokens;
///
/// // What a layer found for two keys: of one name, and of two.
/// let all = [[1; 16], [2; 16], [3; 16]];
/// let parts = Tokens::split(all, [1, 2]);
/// assert_eq!((&*parts[0], &*parts[1]), (&[[1; 16]][..], &[[2; 16], [3; 16]][..]));
/// ```
#[derive(Clone, Default)]
pub struct Tokens {
    all: Arc<[Token]>,
    from: u32,
    count: u32,
}

impl Tokens {
    /// Parts of one list, one after the other, each of so many tokens; what is beyond the end of the list is left out.
    #[must_use]
    pub fn split(all: impl Into<Arc<[Token]>>, counts: impl IntoIterator<Item = usize>) -> Vec<Self> {
        Self::parts(all.into(), counts).collect()
    }

    /// As [`split`](Self::split), one after the other.
    pub(crate) fn parts(
        all: Arc<[Token]>,
        counts: impl IntoIterator<Item = usize>,
    ) -> impl Iterator<Item = Self> {
        let mut from = 0;
        counts.into_iter().map(move |count| {
            let count = count.min(all.len() - from);
            let part = Self::part(&all, from, count);
            from += count;
            part
        })
    }

    fn part(all: &Arc<[Token]>, from: usize, count: usize) -> Self {
        match (u32::try_from(from), u32::try_from(count)) {
            (Ok(from), Ok(count)) => Self { all: Arc::clone(all), from, count },
            // Four thousand million tokens are 64 GiB, and the reply of no server.
            _ => Self::default(),
        }
    }
}

impl Deref for Tokens {
    type Target = [Token];

    fn deref(&self) -> &[Token] {
        let from = self.from as usize;
        self.all.get(from..from + self.count as usize).unwrap_or_default()
    }
}

impl<T: Into<Arc<[Token]>>> From<T> for Tokens {
    fn from(all: T) -> Self {
        let all = all.into();
        Self::part(&all, 0, all.len())
    }
}

impl PartialEq for Tokens {
    fn eq(&self, other: &Self) -> bool {
        **self == **other
    }
}

impl Eq for Tokens {}

impl fmt::Debug for Tokens {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list().entries(&**self).finish()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parts_beyond_the_end_of_the_list_have_what_there_is() {
        let parts = Tokens::split([[1; 16], [2; 16]], [1, 5, 1]);
        let lengths: Vec<usize> = parts.iter().map(|part| part.len()).collect();
        assert_eq!(lengths, [1, 1, 0]);
        assert_eq!((parts[0][0], parts[1][0]), ([1; 16], [2; 16]));
        assert_eq!(parts[1], Tokens::from(vec![[2; 16]]));
        assert_ne!(parts[0], parts[1]);
    }
}
