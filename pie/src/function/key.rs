//! Arguments of functions as parts of keys: injective, so that no two lists of arguments share one.

use std::borrow::Cow;
use std::fmt::Write as _;
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use crate::cache::key::{KeyKind, short_word};
use crate::model::Datum;
use crate::plan::depends;
use crate::plan::text::{Text, push_datum, push_escaped, push_int, push_uint};

/// A type whose values can be part of a cache key: `#[derive(CacheKey)]` on a struct or enum of such types.
///
/// Equal values have to write the same, different ones different things.
#[diagnostic::on_unimplemented(
    message = "`{Self}` cannot be part of a cache key",
    label = "not a `CacheKey`",
    note = "write `#[derive(pie::CacheKey)]` on the type, or leave the argument out with `skip(…)`"
)]
pub trait CacheKey {
    /// Writes the value.
    fn write_key(&self, key: &mut KeyWriter);

    /// The value in eight bytes, where it fits.
    #[doc(hidden)]
    fn short(&self) -> Option<Short> {
        None
    }
}

/// A value in eight bytes, and what kind of key it makes.
#[doc(hidden)]
#[derive(Debug, Clone, Copy)]
pub struct Short {
    pub(super) kind: KeyKind,
    pub(super) word: u64,
}

impl Short {
    fn signed(number: i64) -> Self {
        Self { kind: KeyKind::Number, word: number.cast_unsigned() }
    }

    fn unsigned(word: u64) -> Self {
        Self { kind: KeyKind::Unsigned, word }
    }

    #[inline]
    fn text(text: &str) -> Option<Self> {
        short_word(text).map(|(kind, word)| Self { kind, word })
    }
}

/// Where a [`CacheKey`] writes itself.
///
/// # Examples
///
/// ```
/// use pie::{CacheKey, KeyWriter};
///
/// struct Point {
///     x: i32,
///     y: i32,
/// }
///
/// impl CacheKey for Point {
///     fn write_key(&self, key: &mut KeyWriter) {
///         key.group(|key| {
///             key.part(&self.x);
///             key.part(&self.y);
///         });
///     }
/// }
/// ```
#[derive(Debug, Default)]
pub struct KeyWriter {
    pub(super) text: Text,
    /// Whether values stand as they are: in tags, which nobody takes apart.
    pub(super) plain: bool,
}

impl KeyWriter {
    /// Writes a text; everything in it that has a meaning in keys is escaped.
    pub fn text(&mut self, text: &str) {
        if self.plain {
            self.text.extend_from_slice(text.as_bytes());
        } else {
            push_escaped(&mut self.text, text.as_bytes());
        }
    }

    /// Writes several parts as one value.
    pub fn group(&mut self, parts: impl FnOnce(&mut Self)) {
        self.text.extend_from_slice(b"%(");
        parts(self);
        self.text.extend_from_slice(b"%)");
    }

    /// Writes one part of a [`group`](Self::group).
    pub fn part<T: CacheKey + ?Sized>(&mut self, value: &T) {
        value.write_key(self);
        self.end_part();
    }

    /// Behind each part, so that no part and an empty one are two things.
    #[doc(hidden)]
    pub fn end_part(&mut self) {
        self.text.push(b',');
    }

    pub(super) fn literal(&mut self, text: &str) {
        self.text.extend_from_slice(text.as_bytes());
    }

    fn datum(&mut self, datum: &Datum<'_>) {
        push_datum(&mut self.text, datum);
    }
}

/// A key, a tag or a pattern while it is put together: fixed pieces and values in turn, a piece first.
#[derive(Debug, Default)]
pub(super) struct Template<'p> {
    pub(super) writer: KeyWriter,
    /// The piece in front of the first value, where it is not in the text.
    first_piece: &'p str,
    /// Where the first value begins.
    first_value: Option<usize>,
}

impl<'p> Template<'p> {
    /// One in which values are not escaped.
    pub(super) fn plain() -> Self {
        Self { writer: KeyWriter { plain: true, ..KeyWriter::default() }, ..Self::default() }
    }

    /// The same, with these pieces and values behind what is there.
    pub(super) fn with(mut self, pieces: &[&'p str], values: &[&dyn CacheKey]) -> Self {
        self.write(pieces, values);
        self
    }

    /// As [`write`](Self::write), but what is in front of the first value stays out of the text: a function's is always the same.
    #[inline]
    pub(super) fn write_values(&mut self, pieces: &[&'p str], values: &[&dyn CacheKey]) {
        match (pieces, values) {
            ([piece, pieces @ ..], [value, values @ ..]) => {
                self.first_piece = piece;
                self.first_value = Some(self.writer.text.len());
                value.write_key(&mut self.writer);
                self.write(pieces, values);
            }
            _ => self.write(pieces, values),
        }
    }

    /// Appends pieces and values in turn.
    pub(super) fn write(&mut self, pieces: &[&'p str], values: &[&dyn CacheKey]) {
        let mut pieces = pieces.iter();
        for value in values {
            if let Some(piece) = pieces.next() {
                self.writer.literal(piece);
            }
            self.first_value.get_or_insert(self.writer.text.len());
            value.write_key(&mut self.writer);
        }
        for piece in pieces {
            self.writer.literal(piece);
        }
    }

    /// The logical key in it, from this place on; long values are hashed.
    pub(super) fn logical(&self, from: usize) -> String {
        let text = &self.writer.text;
        let first = self.first_value.unwrap_or(text.len());
        let prefix = [self.first_piece, &String::from_utf8_lossy(&text[from.min(first)..first])].concat();
        depends::logical(&prefix, &text[first..], false)
    }

    /// The text as it is.
    pub(super) fn into_text(self) -> String {
        String::from_utf8_lossy(&self.writer.text).into_owned()
    }
}

/// The logical key of these pieces and values.
#[must_use]
pub fn logical_key(pieces: &[&str], values: &[&dyn CacheKey]) -> String {
    Template::default().with(pieces, values).logical(0)
}

macro_rules! integers {
    ($($type:ty: $push:ident as $wide:ty, $short:ident),* $(,)?) => {$(
        impl CacheKey for $type {
            fn write_key(&self, key: &mut KeyWriter) {
                $push(&mut key.text, <$wide>::from(*self));
            }

            fn short(&self) -> Option<Short> {
                Some(Short::$short(<$wide>::from(*self)))
            }
        }
    )*};
}

integers! {
    i8: push_int as i64, signed, i16: push_int as i64, signed, i32: push_int as i64, signed, i64: push_int as i64, signed,
    u8: push_uint as u64, unsigned, u16: push_uint as u64, unsigned, u32: push_uint as u64, unsigned,
    u64: push_uint as u64, unsigned,
}

macro_rules! shown {
    ($($type:ty),* $(,)?) => {$(
        impl CacheKey for $type {
            fn write_key(&self, key: &mut KeyWriter) {
                struct Sink<'k>(&'k mut KeyWriter);
                impl std::fmt::Write for Sink<'_> {
                    fn write_str(&mut self, text: &str) -> std::fmt::Result {
                        self.0.text(text);
                        Ok(())
                    }
                }
                // Writing into a buffer in memory cannot fail.
                let _: std::fmt::Result = write!(Sink(key), "{self}");
            }
        }
    )*};
}

shown!(isize, usize, i128, u128, bool, std::net::IpAddr, std::net::Ipv4Addr, std::net::Ipv6Addr);

/// Both zeros are one value, and so are all NaNs: what is computed from them may differ only where a program looks at bits.
impl CacheKey for f64 {
    fn write_key(&self, key: &mut KeyWriter) {
        key.datum(&Datum::Float(*self));
    }
}

impl CacheKey for f32 {
    fn write_key(&self, key: &mut KeyWriter) {
        f64::from(*self).write_key(key);
    }
}

impl CacheKey for char {
    fn write_key(&self, key: &mut KeyWriter) {
        key.text(self.encode_utf8(&mut [0; 4]));
    }
}

impl CacheKey for str {
    fn write_key(&self, key: &mut KeyWriter) {
        key.text(self);
    }

    fn short(&self) -> Option<Short> {
        Short::text(self)
    }
}

impl CacheKey for String {
    fn write_key(&self, key: &mut KeyWriter) {
        key.text(self);
    }

    fn short(&self) -> Option<Short> {
        Short::text(self)
    }
}

impl CacheKey for () {
    fn write_key(&self, key: &mut KeyWriter) {
        key.group(|_| {});
    }
}

impl CacheKey for Duration {
    fn write_key(&self, key: &mut KeyWriter) {
        self.as_nanos().write_key(key);
    }
}

impl CacheKey for uuid::Uuid {
    fn write_key(&self, key: &mut KeyWriter) {
        key.datum(&Datum::Uuid(*self));
    }
}

impl CacheKey for chrono::NaiveDate {
    fn write_key(&self, key: &mut KeyWriter) {
        key.datum(&Datum::Date(*self));
    }
}

impl CacheKey for chrono::NaiveDateTime {
    fn write_key(&self, key: &mut KeyWriter) {
        self.and_utc().write_key(key);
    }
}

impl CacheKey for chrono::DateTime<chrono::Utc> {
    fn write_key(&self, key: &mut KeyWriter) {
        // To the nanosecond: an argument is no column.
        self.timestamp().write_key(key);
        key.literal("%.");
        self.timestamp_subsec_nanos().write_key(key);
    }
}

macro_rules! pointers {
    ($($type:ty),* $(,)?) => {$(
        impl<T: CacheKey + ?Sized> CacheKey for $type {
            fn write_key(&self, key: &mut KeyWriter) {
                (**self).write_key(key);
            }

            fn short(&self) -> Option<Short> {
                (**self).short()
            }
        }
    )*};
}

pointers!(&T, &mut T, Box<T>, Arc<T>, Rc<T>);

impl<T: CacheKey + ToOwned + ?Sized> CacheKey for Cow<'_, T> {
    fn write_key(&self, key: &mut KeyWriter) {
        (**self).write_key(key);
    }

    fn short(&self) -> Option<Short> {
        (**self).short()
    }
}

impl<T: CacheKey> CacheKey for Option<T> {
    fn write_key(&self, key: &mut KeyWriter) {
        match self {
            None => key.literal("%-"),
            Some(value) => {
                key.literal("%+");
                value.write_key(key);
            }
        }
    }
}

impl<T: CacheKey> CacheKey for [T] {
    fn write_key(&self, key: &mut KeyWriter) {
        key.group(|key| self.iter().for_each(|value| key.part(value)));
    }
}

impl<T: CacheKey> CacheKey for Vec<T> {
    fn write_key(&self, key: &mut KeyWriter) {
        self.as_slice().write_key(key);
    }
}

impl<T: CacheKey, const N: usize> CacheKey for [T; N] {
    fn write_key(&self, key: &mut KeyWriter) {
        self.as_slice().write_key(key);
    }
}

macro_rules! tuples {
    ($($($name:ident)+;)*) => {$(
        impl<$($name: CacheKey),+> CacheKey for ($($name,)+) {
            #[allow(non_snake_case, reason = "the names of the types serve for the values")]
            fn write_key(&self, key: &mut KeyWriter) {
                let ($($name,)+) = self;
                key.group(|key| { $(key.part($name);)+ });
            }
        }
    )*};
}

tuples! {
    A; A B; A B C; A B C D; A B C D E; A B C D E F; A B C D E F G; A B C D E F G H;
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn written(value: &(impl CacheKey + ?Sized)) -> String {
        let mut key = KeyWriter::default();
        value.write_key(&mut key);
        String::from_utf8_lossy(&key.text).into_owned()
    }

    #[test]
    fn values_read_as_they_are_written_down() {
        assert_eq!(written(&42_i64), "42");
        assert_eq!(written(&-1_i8), "-1");
        assert_eq!(written("ann@x.org"), "ann%40x.org");
        assert_eq!(written(&("a", Some(1), None::<u8>)), "%(a,%+1,%-,%)");
        assert_eq!(written(&[0_u8; 0]), "%(%)");
        assert_eq!(written(&[""]), "%(,%)");
        assert_eq!((written(&0.0_f64), written(&-0.0_f64)), ("0".to_owned(), "0".to_owned()));
    }

    proptest! {
        #[test]
        fn different_values_are_written_differently(
            a in any::<(String, Option<String>, Vec<String>, i64)>(),
            b in any::<(String, Option<String>, Vec<String>, i64)>(),
            c in prop::collection::vec(prop::option::of("[,%():*-]{0,3}"), 0..4),
            d in prop::collection::vec(prop::option::of("[,%():*-]{0,3}"), 0..4),
        ) {
            prop_assert_eq!(a == b, written(&a) == written(&b));
            prop_assert_eq!(c == d, written(&c) == written(&d));
        }
    }
}
