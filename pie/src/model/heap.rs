//! How much memory a value takes: what the byte budget of the memory layer counts.

use std::borrow::Cow;
use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet, VecDeque};
use std::rc::Rc;
use std::sync::Arc;

use chrono::{DateTime, NaiveDate, NaiveDateTime, NaiveTime, Utc};
use uuid::Uuid;

/// How many bytes a value holds on the heap, besides its own size: what the byte budget of [`Memory`](crate::Memory) counts.
///
/// `#[derive(Model)]` and `#[derive(Value)]` implement it, and it is there for the types of columns, for collections, tuples and
/// pointers of the standard library. [`#[derive(HeapSize)]`](derive@crate::HeapSize) is for other types of yours. What is counted is what was asked of
/// the allocator (capacities, not lengths), without what the allocator adds; hash maps and trees are an estimate.
///
/// | value | what is counted |
/// |---|---|
/// | a model, a list of models | exactly this |
/// | a `#[pie(json)]` field whose type is `HeapSize` | exactly this |
/// | any other `#[pie(json)]` field, what a `#[cached]` function returns | an estimate: as large as its JSON |
/// | a value by hand | twice its JSON: the text, and what it becomes |
///
/// # Examples
///
/// ```
/// use pie::HeapSize;
///
/// #[derive(HeapSize)]
/// struct Address {
///     street: String,
///     number: u32,
/// }
///
/// let address = Address { street: String::with_capacity(30), number: 7 };
/// assert_eq!(address.heap_size(), 30);
/// ```
#[diagnostic::on_unimplemented(
    message = "nobody knows how many bytes a `{Self}` holds on the heap",
    label = "not `HeapSize`",
    note = "write `#[derive(pie::HeapSize)]` on the type, or `impl HeapSize` for it"
)]
pub trait HeapSize {
    /// The bytes on the heap.
    fn heap_size(&self) -> usize;
}

macro_rules! none {
    ($($ty:ty),* $(,)?) => {$(
        impl HeapSize for $ty {
            #[inline]
            fn heap_size(&self) -> usize {
                0
            }
        }
    )*};
}

none! {
    (), bool, char, i8, i16, i32, i64, i128, isize, u8, u16, u32, u64, u128, usize, f32, f64, &str,
    std::time::Duration, std::time::SystemTime, Uuid, NaiveDate, NaiveTime, NaiveDateTime, DateTime<Utc>,
}

impl HeapSize for str {
    fn heap_size(&self) -> usize {
        0
    }
}

impl HeapSize for String {
    fn heap_size(&self) -> usize {
        self.capacity()
    }
}

impl<T: HeapSize> HeapSize for [T] {
    fn heap_size(&self) -> usize {
        self.iter().map(T::heap_size).sum()
    }
}

impl<T: HeapSize, const N: usize> HeapSize for [T; N] {
    fn heap_size(&self) -> usize {
        self.as_slice().heap_size()
    }
}

impl<T: HeapSize> HeapSize for Vec<T> {
    fn heap_size(&self) -> usize {
        self.capacity() * size_of::<T>() + self.as_slice().heap_size()
    }
}

impl<T: HeapSize> HeapSize for VecDeque<T> {
    fn heap_size(&self) -> usize {
        self.capacity() * size_of::<T>() + self.iter().map(T::heap_size).sum::<usize>()
    }
}

impl<T: HeapSize> HeapSize for Option<T> {
    fn heap_size(&self) -> usize {
        self.as_ref().map_or(0, T::heap_size)
    }
}

impl<T: HeapSize, E: HeapSize> HeapSize for Result<T, E> {
    fn heap_size(&self) -> usize {
        match self {
            Ok(value) => value.heap_size(),
            Err(error) => error.heap_size(),
        }
    }
}

impl<T: HeapSize + ?Sized> HeapSize for Box<T> {
    fn heap_size(&self) -> usize {
        size_of_val(&**self) + (**self).heap_size()
    }
}

/// The two counters in front of a shared value.
const COUNTERS: usize = 2 * size_of::<usize>();

macro_rules! shared {
    ($($ty:ident),*) => {$(
        /// Counted in full by each that holds it: nobody knows who else does.
        impl<T: HeapSize + ?Sized> HeapSize for $ty<T> {
            fn heap_size(&self) -> usize {
                COUNTERS + size_of_val(&**self) + (**self).heap_size()
            }
        }
    )*};
}
shared!(Arc, Rc);

impl<T: ToOwned + ?Sized> HeapSize for Cow<'_, T>
where
    T::Owned: HeapSize,
{
    fn heap_size(&self) -> usize {
        match self {
            Self::Borrowed(_) => 0,
            Self::Owned(value) => value.heap_size(),
        }
    }
}

/// A table with places for an eighth more than it takes, and a byte for each.
fn table(capacity: usize, entry: usize) -> usize {
    if capacity == 0 { 0 } else { (capacity * 8 / 7).next_power_of_two() * (entry + 1) }
}

impl<K: HeapSize, V: HeapSize, S> HeapSize for HashMap<K, V, S> {
    fn heap_size(&self) -> usize {
        let entries = self.iter().map(|(key, value)| key.heap_size() + value.heap_size());
        table(self.capacity(), size_of::<(K, V)>()) + entries.sum::<usize>()
    }
}

impl<T: HeapSize, S> HeapSize for HashSet<T, S> {
    fn heap_size(&self) -> usize {
        table(self.capacity(), size_of::<T>()) + self.iter().map(T::heap_size).sum::<usize>()
    }
}

/// Nodes of eleven places, two thirds full where there are several.
fn tree(len: usize, entry: usize) -> usize {
    let nodes = if len <= 11 { len.min(1) } else { len.div_ceil(7) };
    nodes * (11 * entry + COUNTERS)
}

impl<K: HeapSize, V: HeapSize> HeapSize for BTreeMap<K, V> {
    fn heap_size(&self) -> usize {
        let entries = self.iter().map(|(key, value)| key.heap_size() + value.heap_size());
        tree(self.len(), size_of::<(K, V)>()) + entries.sum::<usize>()
    }
}

impl<T: HeapSize> HeapSize for BTreeSet<T> {
    fn heap_size(&self) -> usize {
        tree(self.len(), size_of::<T>()) + self.iter().map(T::heap_size).sum::<usize>()
    }
}

macro_rules! tuples {
    ($($($name:ident)+;)*) => {$(
        impl<$($name: HeapSize),+> HeapSize for ($($name,)+) {
            #[allow(non_snake_case, reason = "the names of the types serve for the values")]
            fn heap_size(&self) -> usize {
                let ($($name,)+) = self;
                0 $(+ $name.heap_size())+
            }
        }
    )*};
}
tuples! {
    A; A B; A B C; A B C D; A B C D E; A B C D E F; A B C D E F G; A B C D E F G H;
}

/// A tree of small boxes and tables.
impl HeapSize for serde_json::Value {
    fn heap_size(&self) -> usize {
        match self {
            Self::Null | Self::Bool(_) | Self::Number(_) => 0,
            Self::String(text) => text.heap_size(),
            Self::Array(values) => values.heap_size(),
            Self::Object(fields) => {
                let entries = fields.iter().map(|(name, value)| name.heap_size() + value.heap_size());
                tree(fields.len(), size_of::<(String, Self)>()) + entries.sum::<usize>()
            }
        }
    }
}

/// A value whose type may be `HeapSize` or not.
#[doc(hidden)]
#[derive(Debug)]
pub struct HeapOf<'v, T> {
    value: &'v T,
    estimate: fn(&T) -> usize,
}

impl<'v, T> HeapOf<'v, T> {
    /// `estimate` is for a type that does not tell.
    #[must_use]
    pub fn new(value: &'v T, estimate: fn(&T) -> usize) -> Self {
        Self { value, estimate }
    }
}

impl<T: HeapSize> HeapOf<'_, T> {
    /// What the type tells: a method of the type's own goes before one of a trait.
    #[must_use]
    pub fn heap_bytes(&self) -> usize {
        self.value.heap_size()
    }
}

/// The answer for types that are not `HeapSize`.
#[doc(hidden)]
pub trait Estimated {
    /// The estimate.
    fn heap_bytes(&self) -> usize;
}

impl<T> Estimated for HeapOf<'_, T> {
    fn heap_bytes(&self) -> usize {
        (self.estimate)(self.value)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn capacities_count_and_what_is_in_them() {
        let mut names = Vec::with_capacity(4);
        names.push(String::with_capacity(10));
        names.push(String::with_capacity(20));
        assert_eq!(names.heap_size(), 4 * size_of::<String>() + 30);
        assert_eq!((7_u8, Some(String::with_capacity(5)), None::<String>).heap_size(), 5);
        assert_eq!(Box::new([1_u64; 4]).heap_size(), 32);
        assert_eq!(Arc::<str>::from("four").heap_size(), 16 + 4);
        assert_eq!(
            (Cow::Borrowed("borrowed").heap_size(), Cow::<str>::Owned("owned".to_owned()).heap_size()),
            (0, 5)
        );
        assert_eq!((Vec::<u8>::new().heap_size(), HashMap::<u8, u8>::new().heap_size()), (0, 0));
    }

    #[test]
    fn a_type_that_tells_is_asked_and_any_other_estimated() {
        struct Silent;
        let bytes = vec![1_u8, 2, 3];
        let told = HeapOf::new(&bytes, |_| unreachable!("it tells"));
        assert_eq!(told.heap_bytes(), 3);
        assert_eq!(HeapOf::new(&Silent, |_| 77).heap_bytes(), 77);
    }
}
