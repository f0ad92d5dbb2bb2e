//! None, one, two or more: a list that is most often short, and cheap to move while it is.

use std::fmt;
use std::ops::Deref;

/// A short list: up to two items without the heap.
///
/// The compiler sees through it where it cannot through a buffer that may or may not be filled: a query is moved several times
/// before it is asked, and each move of a buffer is one through memory.
#[derive(Clone, Default, PartialEq, Eq)]
// A byte of its own tells which it is: found in the items it would have to be worked out each time.
#[repr(u8)]
pub enum Few<T> {
    /// No item.
    #[default]
    None,
    /// One.
    One(T),
    /// Two.
    Two([T; 2]),
    /// Any number, on the heap.
    Many(Vec<T>),
}

impl<T> Few<T> {
    /// Appends an item.
    pub fn push(&mut self, item: T) {
        *self = match std::mem::take(self) {
            Self::None => Self::One(item),
            Self::One(first) => Self::Two([first, item]),
            Self::Two([first, second]) => Self::Many(vec![first, second, item]),
            Self::Many(mut all) => {
                all.push(item);
                Self::Many(all)
            }
        };
    }

    /// The same list of other items.
    pub(crate) fn map<U>(self, each: impl Fn(T) -> U) -> Few<U> {
        match self {
            Self::None => Few::None,
            Self::One(item) => Few::One(each(item)),
            Self::Two(items) => Few::Two(items.map(each)),
            Self::Many(items) => Few::Many(items.into_iter().map(each).collect()),
        }
    }
}

impl<T> Deref for Few<T> {
    type Target = [T];

    #[inline]
    fn deref(&self) -> &[T] {
        match self {
            Self::None => &[],
            Self::One(item) => std::slice::from_ref(item),
            Self::Two(items) => items,
            Self::Many(items) => items,
        }
    }
}

impl<T, const N: usize> From<[T; N]> for Few<T> {
    #[inline]
    fn from(items: [T; N]) -> Self {
        let mut items = items.into_iter();
        // Each value goes to its place without passing through another list, of which the compiler would keep the end.
        match (items.next(), items.next()) {
            (Some(first), Some(second)) if N == 2 => Self::Two([first, second]),
            (Some(first), Some(second)) => Self::Many([first, second].into_iter().chain(items).collect()),
            (Some(first), None) => Self::One(first),
            (None, _) => Self::None,
        }
    }
}

impl<T> FromIterator<T> for Few<T> {
    fn from_iter<I: IntoIterator<Item = T>>(items: I) -> Self {
        let mut few = Self::None;
        items.into_iter().for_each(|item| few.push(item));
        few
    }
}

impl<'f, T> IntoIterator for &'f Few<T> {
    type Item = &'f T;
    type IntoIter = std::slice::Iter<'f, T>;

    fn into_iter(self) -> Self::IntoIter {
        self.iter()
    }
}

impl<T: fmt::Debug> fmt::Debug for Few<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        (**self).fmt(f)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_is_the_list_it_was_made_of() {
        for count in 0..6 {
            let items: Vec<i32> = (0..count).collect();
            let few: Few<i32> = items.iter().copied().collect();
            assert_eq!(*few, *items);
            assert_eq!(
                *few.clone().map(|item| item + 1),
                *items.iter().map(|item| item + 1).collect::<Vec<_>>()
            );
            assert_eq!(format!("{few:?}"), format!("{items:?}"));
        }
        assert_eq!(
            (&*Few::from([7]), &*Few::from([7, 8]), Few::<u8>::from([]).len()),
            (&[7][..], &[7, 8][..], 0)
        );
    }
}
