//! The text of keys and stamp names: injective, without allocation for short ones.
//!
//! Arguments are escaped so that no value can end its own segment, forge another key or act as a glob: `:` `%` `*` `?`
//! `[` `]` `\` `,` `@` and controls become `%` and two hex digits. `NULL` is `%-`, which no text can become.

use std::fmt::{self, Write as _};
use std::hash::{Hash, Hasher};
use std::ops::Deref;

use crate::model::Datum;

/// How many bytes of a text are on the stack.
const INLINE: usize = 112;

/// Bytes on the stack for the usual key; longer ones move to the heap.
#[derive(Clone)]
pub(crate) struct Text {
    len: usize,
    inline: [u8; INLINE],
    /// The whole text, once it is longer.
    heap: Vec<u8>,
}

impl Default for Text {
    fn default() -> Self {
        Self { len: 0, inline: [0; INLINE], heap: Vec::new() }
    }
}

impl Text {
    pub(crate) fn new() -> Self {
        Self::default()
    }

    #[inline]
    pub(crate) fn push(&mut self, byte: u8) {
        match self.inline.get_mut(self.len) {
            Some(place) => {
                *place = byte;
                self.len += 1;
            }
            None => self.spill(&[byte]),
        }
    }

    #[inline]
    pub(crate) fn extend_from_slice(&mut self, bytes: &[u8]) {
        match self.inline.get_mut(self.len..self.len + bytes.len()) {
            Some(place) => {
                place.copy_from_slice(bytes);
                self.len += bytes.len();
            }
            None => self.spill(bytes),
        }
    }

    #[cold]
    fn spill(&mut self, bytes: &[u8]) {
        if self.len <= INLINE {
            self.heap = Vec::with_capacity(2 * (self.len + bytes.len()));
            self.heap.extend_from_slice(&self.inline[..self.len]);
        }
        self.heap.extend_from_slice(bytes);
        self.len = self.heap.len();
    }
}

impl<B: AsRef<[u8]> + ?Sized> From<&B> for Text {
    fn from(bytes: &B) -> Self {
        let mut text = Self::new();
        text.extend_from_slice(bytes.as_ref());
        text
    }
}

impl Deref for Text {
    type Target = [u8];

    #[inline]
    fn deref(&self) -> &[u8] {
        self.inline.get(..self.len).unwrap_or(&self.heap)
    }
}

impl PartialEq for Text {
    fn eq(&self, other: &Self) -> bool {
        **self == **other
    }
}

impl Eq for Text {}

impl PartialOrd for Text {
    fn partial_cmp(&self, other: &Self) -> Option<std::cmp::Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for Text {
    fn cmp(&self, other: &Self) -> std::cmp::Ordering {
        (**self).cmp(&**other)
    }
}

impl Hash for Text {
    fn hash<H: Hasher>(&self, state: &mut H) {
        (**self).hash(state);
    }
}

impl fmt::Debug for Text {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // It may be made of values of rows.
        f.debug_struct("Text").field("len", &self.len).finish_non_exhaustive()
    }
}

/// Writes `fmt` output into a text.
struct Sink<'t>(&'t mut Text);

impl fmt::Write for Sink<'_> {
    fn write_str(&mut self, text: &str) -> std::fmt::Result {
        self.0.extend_from_slice(text.as_bytes());
        Ok(())
    }
}

const HEX: &[u8; 16] = b"0123456789ABCDEF";

/// Whether a byte stands as it is.
static PLAIN: [bool; 256] = {
    let mut all = [true; 256];
    let mut at = 0;
    while at < all.len() {
        let special = matches!(
            at as u8,
            0..=0x1f | 0x7f | b':' | b'%' | b'*' | b'?' | b'[' | b']' | b'\\' | b',' | b'@'
        );
        all[at] = !special;
        at += 1;
    }
    all
};

/// Appends text with everything escaped that has a meaning in keys.
pub(crate) fn push_escaped(out: &mut Text, text: &[u8]) {
    let mut rest = text;
    while let Some(at) = rest.iter().position(|byte| !PLAIN[usize::from(*byte)]) {
        let (clean, tail) = rest.split_at(at);
        out.extend_from_slice(clean);
        let byte = tail[0];
        out.extend_from_slice(&[b'%', HEX[usize::from(byte >> 4)], HEX[usize::from(byte & 15)]]);
        rest = &tail[1..];
    }
    out.extend_from_slice(rest);
}

/// Appends a value as one argument of a key in memory: which kind, then bytes that tell where they end.
#[inline]
pub(crate) fn push_binary(out: &mut Text, datum: &Datum<'_>) {
    match datum {
        Datum::Int(v) => {
            out.push(1);
            out.extend_from_slice(&v.to_le_bytes());
        }
        Datum::Text(v) | Datum::Json(v) => {
            out.push(2);
            out.extend_from_slice(&v.len().to_le_bytes());
            out.extend_from_slice(v.as_bytes());
        }
        Datum::Uuid(v) => {
            out.push(3);
            out.extend_from_slice(v.as_bytes());
        }
        other => {
            let mut text = Text::new();
            push_datum(&mut text, other);
            out.push(4);
            out.extend_from_slice(&text.len().to_le_bytes());
            out.extend_from_slice(&text);
        }
    }
}

/// Appends an integer in decimal digits.
pub(crate) fn push_int(out: &mut Text, value: i64) {
    if value < 0 {
        out.push(b'-');
    }
    push_uint(out, value.unsigned_abs());
}

/// Appends an unsigned integer in decimal digits.
pub(crate) fn push_uint(out: &mut Text, mut value: u64) {
    let mut digits = [0_u8; 20];
    let mut at = digits.len();
    loop {
        at -= 1;
        digits[at] = b'0' + u8::try_from(value % 10).unwrap_or(0);
        value /= 10;
        if value == 0 {
            break;
        }
    }
    out.extend_from_slice(&digits[at..]);
}

/// Appends a value as one argument of a key.
pub(crate) fn push_datum(out: &mut Text, datum: &Datum<'_>) {
    // Writing into a buffer in memory cannot fail.
    let _: std::fmt::Result = match datum {
        Datum::Null => {
            out.extend_from_slice(b"%-");
            Ok(())
        }
        Datum::Bool(v) => {
            out.extend_from_slice(if *v { b"true" } else { b"false" });
            Ok(())
        }
        Datum::Int(v) => {
            push_int(out, *v);
            Ok(())
        }
        Datum::UInt(v) => {
            push_uint(out, *v);
            Ok(())
        }
        // +0 and -0 are equal to every database, so they share a name.
        Datum::Float(v) => write!(Sink(out), "{}", if *v == 0.0 { 0.0 } else { *v }),
        Datum::Text(v) | Datum::Json(v) => {
            push_escaped(out, v.as_bytes());
            Ok(())
        }
        Datum::Bytes(v) => {
            for byte in v.iter() {
                out.extend_from_slice(&[HEX[usize::from(byte >> 4)], HEX[usize::from(byte & 15)]]);
            }
            Ok(())
        }
        Datum::Uuid(v) => {
            out.extend_from_slice(v.hyphenated().encode_lower(&mut uuid::Uuid::encode_buffer()).as_bytes());
            Ok(())
        }
        Datum::Date(v) => write!(Sink(out), "{v}"),
        Datum::Time(v) => {
            let mut text = Text::new();
            let _: std::fmt::Result = write!(Sink(&mut text), "{v}");
            push_escaped(out, &text);
            Ok(())
        }
        Datum::DateTime(v) => {
            push_int(out, v.and_utc().timestamp_micros());
            Ok(())
        }
        Datum::Timestamp(v) => {
            push_int(out, v.timestamp_micros());
            Ok(())
        }
    };
}

/// Appends several values as one argument: joined by `,`, which none of them contains.
pub(crate) fn push_data<'d, 'v: 'd>(out: &mut Text, data: impl IntoIterator<Item = &'d Datum<'v>>) {
    for (i, datum) in data.into_iter().enumerate() {
        if i > 0 {
            out.push(b',');
        }
        push_datum(out, datum);
    }
}

/// 128 bits of BLAKE3 as 32 hex digits: stands for a canonical form or a long argument.
pub(crate) fn push_hash(out: &mut String, bytes: &[u8]) {
    let hash = blake3::hash(bytes);
    for byte in &hash.as_bytes()[..16] {
        let _: std::fmt::Result = write!(out, "{byte:02x}");
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn text(datum: &Datum<'_>) -> Vec<u8> {
        let mut out = Text::new();
        push_datum(&mut out, datum);
        out.to_vec()
    }

    #[test]
    fn readable_values_stay_readable() {
        assert_eq!(text(&Datum::Int(42)), b"42");
        assert_eq!(text(&Datum::Int(i64::MIN)), b"-9223372036854775808");
        assert_eq!(text(&Datum::Text("ann@x.org".into())), b"ann%40x.org");
        assert_eq!(text(&Datum::Text("a%:*?[]\\,\n".into())), b"a%25%3A%2A%3F%5B%5D%5C%2C%0A");
        assert_eq!(text(&Datum::Text("\u{1F967}".into())), "\u{1F967}".as_bytes());
        assert_eq!(text(&Datum::Null), b"%-");
        assert_eq!(text(&Datum::Float(-0.0)), text(&Datum::Float(0.0)));
    }

    proptest! {
        #[test]
        fn a_text_is_the_bytes_that_were_put_into_it(
            steps in prop::collection::vec(prop::collection::vec(any::<u8>(), 0..90), 0..8),
        ) {
            let (mut text, mut bytes) = (Text::new(), Vec::new());
            for more in steps {
                text.extend_from_slice(&more);
                bytes.extend_from_slice(&more);
                text.push(7);
                bytes.push(7);
                prop_assert_eq!(&*text, &*bytes);
            }
        }

        #[test]
        fn keys_in_memory_of_different_values_are_different(
            a in prop::collection::vec(prop_oneof![
                any::<i64>().prop_map(Datum::Int),
                ".{0,3}".prop_map(|text| Datum::Text(text.into())),
                any::<bool>().prop_map(Datum::Bool),
                Just(Datum::Null),
            ], 2),
            b in prop::collection::vec(prop_oneof![
                any::<i64>().prop_map(Datum::Int),
                ".{0,3}".prop_map(|text| Datum::Text(text.into())),
                any::<bool>().prop_map(Datum::Bool),
                Just(Datum::Null),
            ], 2),
        ) {
            let key = |values: &[Datum<'_>]| {
                let mut out = Text::new();
                values.iter().for_each(|value| push_binary(&mut out, value));
                out.to_vec()
            };
            prop_assert_eq!(a == b, key(&a) == key(&b));
        }

        #[test]
        fn escaping_is_injective_and_leaves_nothing_special(a in ".*", b in ".*") {
            let (ta, tb) = (text(&Datum::Text(a.as_str().into())), text(&Datum::Text(b.as_str().into())));
            prop_assert_eq!(a == b, ta == tb);
            prop_assert!(!ta.iter().any(|c| b":*?[]\\,@".contains(c)));
        }

        #[test]
        fn several_values_are_injective(a in "[a,%:]{0,4}", b in "[a,%:]{0,4}", c in "[a,%:]{0,4}", d in "[a,%:]{0,4}") {
            let mut left = Text::new();
            push_data(&mut left, &[Datum::Text(a.as_str().into()), Datum::Text(b.as_str().into())]);
            let mut right = Text::new();
            push_data(&mut right, &[Datum::Text(c.as_str().into()), Datum::Text(d.as_str().into())]);
            prop_assert_eq!((a, b) == (c, d), left == right);
        }

        #[test]
        fn integers_print_as_the_standard_library_prints_them(v: i64) {
            prop_assert_eq!(text(&Datum::Int(v)), v.to_string().into_bytes());
        }
    }
}
