//! The wire format: what a shared layer stores.
//!
//! ```text
//! "pie" | format version u8 | codec u8 | flags u8 | load time u64 ms | deadline u64 ms
//!       | stamp count u8 | (name hash u64, token [u8; 16])* | payload | checksum [u8; 8]
//! ```
//!
//! All integers are little-endian; times are milliseconds since 1970 UTC; a name hash is the
//! XXH3 hash of the name, the checksum that of everything before it. An unknown version, a bad checksum, a load time in
//! the future or a payload that does not decode is a miss. The bytes are frozen by tests.

use std::borrow::Cow;

use bytes::Bytes;
use chrono::{DateTime, Datelike, NaiveDate, NaiveTime, Timelike};
use smallvec::SmallVec;
use uuid::Uuid;
use xxhash_rust::xxh3::xxh3_64;

use crate::model::{Cells, Datum};

/// Which code wrote the payload.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u8)]
#[non_exhaustive]
pub enum CodecId {
    /// Rows and numbers, column by column, as in [`Encoder`].
    Rows = 1,
    /// JSON of a value that a program set by hand.
    Json = 2,
    /// JSON of what a cached function returned.
    Function = 3,
}

/// A random number that stands for one version of a stamp in a shared layer.
pub type Token = [u8; 16];

/// The version of a stamp that an entry was loaded under: the hash of the name, and the token.
pub type Stamped = (u64, Token);

const MAGIC: &[u8; 3] = b"pie";
const VERSION: u8 = 2;
const HEADER: usize = 3 + 3 + 8 + 8 + 1;
const EMPTY: u8 = 1;

/// The stable hash of a stamp name in the wire format.
#[must_use]
pub fn name_hash(name: &str) -> u64 {
    xxh3_64(name.as_bytes())
}

/// What stands before the payload of a stored entry.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Envelope {
    /// Which code wrote the payload.
    pub codec: u8,
    /// Whether the value is "no such row" or an empty list.
    pub empty: bool,
    /// When the value was loaded, in milliseconds since 1970 UTC.
    pub loaded_at: u64,
    /// Until when it may be served, in milliseconds since 1970 UTC.
    pub deadline: u64,
    /// What it was loaded under.
    pub stamps: SmallVec<[Stamped; 6]>,
}

impl Envelope {
    /// The stored form of a payload.
    #[must_use]
    pub fn seal(&self, payload: &[u8]) -> Bytes {
        let mut out = Vec::with_capacity(HEADER + self.stamps.len() * 24 + payload.len() + 8);
        out.extend_from_slice(MAGIC);
        out.extend_from_slice(&[VERSION, self.codec, if self.empty { EMPTY } else { 0 }]);
        out.extend_from_slice(&self.loaded_at.to_le_bytes());
        out.extend_from_slice(&self.deadline.to_le_bytes());
        // A typed error has refused more than sixteen stamps long before.
        out.push(u8::try_from(self.stamps.len()).unwrap_or(u8::MAX));
        for (name, token) in self.stamps.iter().take(usize::from(u8::MAX)) {
            out.extend_from_slice(&name.to_le_bytes());
            out.extend_from_slice(token);
        }
        out.extend_from_slice(payload);
        let checksum = xxh3_64(&out);
        out.extend_from_slice(&checksum.to_le_bytes());
        Bytes::from(out)
    }

    /// The envelope and the payload of stored bytes; `None` for anything that this version did not write.
    #[must_use]
    pub fn open(bytes: &[u8]) -> Option<(Self, &[u8])> {
        let body = bytes.len().checked_sub(8)?;
        let mut input = Decoder::new(&bytes[..body]);
        if input.take(3)? != MAGIC || input.byte()? != VERSION {
            return None;
        }
        if xxh3_64(&bytes[..body]).to_le_bytes() != bytes[body..] {
            return None;
        }
        let codec = input.byte()?;
        let empty = input.byte()? & EMPTY != 0;
        let (loaded_at, deadline) = (input.u64()?, input.u64()?);
        let count = input.byte()?;
        let mut stamps = SmallVec::new();
        for _ in 0..count {
            stamps.push((input.u64()?, input.take(16)?.try_into().ok()?));
        }
        Some((Self { codec, empty, loaded_at, deadline, stamps }, input.rest()))
    }
}

/// Writes rows and numbers into a payload.
#[derive(Debug, Default)]
pub struct Encoder(Vec<u8>);

impl Encoder {
    /// An empty payload.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Appends an unsigned number of any size.
    pub fn uint(&mut self, value: u64) {
        put_uint(&mut self.0, value);
    }

    /// Appends text.
    pub fn text(&mut self, text: &str) {
        put_bytes(&mut self.0, text.as_bytes());
    }

    /// Appends the values of a row.
    pub fn row(&mut self, values: &[Datum<'_>]) {
        put_uint(&mut self.0, values.len() as u64);
        for value in values {
            put_datum(&mut self.0, value);
        }
    }

    /// The payload.
    #[must_use]
    pub fn into_bytes(self) -> Vec<u8> {
        self.0
    }
}

/// Reads rows and numbers back from a payload. Every method gives `None` at the end of the input or for anything that an
/// [`Encoder`] does not write; none allocates more than the input is long.
#[derive(Debug)]
pub struct Decoder<'b>(&'b [u8]);

impl<'b> Decoder<'b> {
    /// A reader of these bytes.
    #[must_use]
    pub fn new(bytes: &'b [u8]) -> Self {
        Self(bytes)
    }

    /// What is left.
    #[must_use]
    pub fn rest(&self) -> &'b [u8] {
        self.0
    }

    fn take(&mut self, count: usize) -> Option<&'b [u8]> {
        let (head, tail) = self.0.split_at_checked(count)?;
        self.0 = tail;
        Some(head)
    }

    fn byte(&mut self) -> Option<u8> {
        self.take(1).map(|bytes| bytes[0])
    }

    fn u64(&mut self) -> Option<u64> {
        Some(u64::from_le_bytes(self.take(8)?.try_into().ok()?))
    }

    fn u32(&mut self) -> Option<u32> {
        Some(u32::from_le_bytes(self.take(4)?.try_into().ok()?))
    }

    /// An unsigned number.
    pub fn uint(&mut self) -> Option<u64> {
        let mut value = 0_u64;
        for shift in (0..64).step_by(7) {
            let byte = self.byte()?;
            let bits = u64::from(byte & 0x7f);
            if shift == 63 && bits > 1 {
                return None;
            }
            value |= bits << shift;
            if byte & 0x80 == 0 {
                return Some(value);
            }
        }
        None
    }

    fn int(&mut self) -> Option<i64> {
        self.uint().map(unzigzag)
    }

    fn bytes(&mut self) -> Option<&'b [u8]> {
        let count = usize::try_from(self.uint()?).ok()?;
        self.take(count)
    }

    /// Text.
    pub fn text(&mut self) -> Option<String> {
        std::str::from_utf8(self.bytes()?).ok().map(str::to_owned)
    }

    /// The values of a row.
    pub fn row(&mut self) -> Option<Vec<Datum<'static>>> {
        self.cells().map(Cells::into_vec)
    }

    /// The same, on the stack where they are few.
    pub(crate) fn cells(&mut self) -> Option<Cells> {
        let count = usize::try_from(self.uint()?).ok()?;
        // A value takes a byte at least: a forged count cannot make this allocate much.
        if count > self.0.len() {
            return None;
        }
        let mut values = Cells::with_capacity(count);
        for _ in 0..count {
            values.push(self.datum()?);
        }
        Some(values)
    }

    fn datum(&mut self) -> Option<Datum<'static>> {
        Some(match self.byte()? {
            0 => Datum::Null,
            1 => Datum::Bool(false),
            2 => Datum::Bool(true),
            3 => Datum::Int(self.int()?),
            4 => Datum::UInt(self.uint()?),
            5 => Datum::Float(f64::from_bits(self.u64()?)),
            6 => Datum::Text(Cow::Owned(self.text()?)),
            7 => Datum::Bytes(Cow::Owned(self.bytes()?.to_vec())),
            8 => Datum::Uuid(Uuid::from_slice(self.take(16)?).ok()?),
            9 => Datum::Date(NaiveDate::from_num_days_from_ce_opt(i32::try_from(self.int()?).ok()?)?),
            10 => Datum::Time(NaiveTime::from_num_seconds_from_midnight_opt(self.u32()?, self.u32()?)?),
            11 => Datum::DateTime(DateTime::from_timestamp_micros(self.int()?)?.naive_utc()),
            12 => Datum::Timestamp(DateTime::from_timestamp_micros(self.int()?)?),
            13 => Datum::Json(Cow::Owned(self.text()?)),
            _ => return None,
        })
    }
}

fn put_uint(out: &mut Vec<u8>, mut value: u64) {
    while value >= 0x80 {
        out.push(value.to_le_bytes()[0] | 0x80);
        value >>= 7;
    }
    out.push(value.to_le_bytes()[0]);
}

fn zigzag(value: i64) -> u64 {
    (value.cast_unsigned() << 1) ^ (value >> 63).cast_unsigned()
}

fn unzigzag(value: u64) -> i64 {
    (value >> 1).cast_signed() ^ -(value & 1).cast_signed()
}

fn put_bytes(out: &mut Vec<u8>, bytes: &[u8]) {
    put_uint(out, bytes.len() as u64);
    out.extend_from_slice(bytes);
}

/// Appends one value: a kind byte and its content.
pub(crate) fn put_datum(out: &mut Vec<u8>, datum: &Datum<'_>) {
    match datum {
        Datum::Null => out.push(0),
        Datum::Bool(v) => out.push(1 + u8::from(*v)),
        Datum::Int(v) => {
            out.push(3);
            put_uint(out, zigzag(*v));
        }
        Datum::UInt(v) => {
            out.push(4);
            put_uint(out, *v);
        }
        Datum::Float(v) => {
            out.push(5);
            out.extend_from_slice(&v.to_bits().to_le_bytes());
        }
        Datum::Text(v) => {
            out.push(6);
            put_bytes(out, v.as_bytes());
        }
        Datum::Bytes(v) => {
            out.push(7);
            put_bytes(out, v);
        }
        Datum::Uuid(v) => {
            out.push(8);
            out.extend_from_slice(v.as_bytes());
        }
        Datum::Date(v) => {
            out.push(9);
            put_uint(out, zigzag(i64::from(v.num_days_from_ce())));
        }
        Datum::Time(v) => {
            out.push(10);
            out.extend_from_slice(&v.num_seconds_from_midnight().to_le_bytes());
            out.extend_from_slice(&v.nanosecond().to_le_bytes());
        }
        Datum::DateTime(v) => {
            out.push(11);
            put_uint(out, zigzag(v.and_utc().timestamp_micros()));
        }
        Datum::Timestamp(v) => {
            out.push(12);
            put_uint(out, zigzag(v.timestamp_micros()));
        }
        Datum::Json(v) => {
            out.push(13);
            put_bytes(out, v.as_bytes());
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn all_kinds() -> Vec<Datum<'static>> {
        let day = NaiveDate::from_ymd_opt(2026, 2, 28).expect("valid");
        let time = NaiveTime::from_hms_micro_opt(23, 59, 58, 7).expect("valid");
        vec![
            Datum::Null,
            Datum::Bool(true),
            Datum::Bool(false),
            Datum::Int(-1),
            Datum::Int(i64::MIN),
            Datum::UInt(u64::MAX),
            Datum::Float(-0.5),
            Datum::Text("pie \u{1F967}".into()),
            Datum::Bytes(vec![0, 255].into()),
            Datum::Uuid(Uuid::from_u128(7)),
            Datum::Date(day),
            Datum::Time(time),
            Datum::DateTime(day.and_time(time)),
            Datum::Timestamp(day.and_time(time).and_utc()),
            Datum::Json("{\"a\":1}".into()),
        ]
    }

    fn sample() -> (Envelope, Vec<u8>) {
        let mut encoder = Encoder::new();
        encoder.uint(300);
        encoder.row(&all_kinds());
        let envelope = Envelope {
            codec: CodecId::Rows as u8,
            empty: true,
            loaded_at: 1_700_000_000_000,
            deadline: 1_700_000_300_000,
            stamps: SmallVec::from_iter([(name_hash("k:user:42"), *b"0123456789abcdef")]),
        };
        (envelope, encoder.into_bytes())
    }

    #[test]
    fn the_format_is_frozen() {
        let (envelope, payload) = sample();
        let sealed = envelope.seal(&payload);
        let hex = sealed.iter().fold(String::new(), |out, byte| out + &format!("{byte:02x}"));
        assert_eq!(hex, include_str!("codec/golden.hex").trim());
    }

    #[test]
    fn what_was_sealed_opens_again() {
        let (envelope, payload) = sample();
        let sealed = envelope.seal(&payload);
        let (opened, body) = Envelope::open(&sealed).expect("opens");
        assert_eq!(opened, envelope);
        let mut input = Decoder::new(body);
        assert_eq!(input.uint(), Some(300));
        assert_eq!(input.row(), Some(all_kinds()));
        assert!(input.rest().is_empty());
    }

    #[test]
    fn not_a_number_keeps_its_bits() {
        let odd = f64::from_bits(0x7ff8_0000_dead_beef);
        let mut out = Vec::new();
        put_datum(&mut out, &Datum::Float(odd));
        let Some(Datum::Float(back)) = Decoder::new(&out).datum() else { panic!("a float") };
        assert_eq!(back.to_bits(), odd.to_bits());
    }

    #[test]
    fn every_flipped_bit_and_every_cut_is_a_miss() {
        let (envelope, payload) = sample();
        let sealed = envelope.seal(&payload);
        for i in 0..sealed.len() {
            for bit in 0..8 {
                let mut broken = sealed.to_vec();
                broken[i] ^= 1 << bit;
                assert_eq!(Envelope::open(&broken), None);
            }
            assert_eq!(Envelope::open(&sealed[..i]), None);
        }
    }

    proptest! {
        #[test]
        fn numbers_round_trip(v: u64, w: i64) {
            let mut out = Vec::new();
            put_uint(&mut out, v);
            put_datum(&mut out, &Datum::Int(w));
            let mut input = Decoder::new(&out);
            prop_assert_eq!(input.uint(), Some(v));
            prop_assert_eq!(input.datum(), Some(Datum::Int(w)));
        }

        #[test]
        fn foreign_bytes_never_panic(bytes: Vec<u8>) {
            let mut input = Decoder::new(&bytes);
            while input.row().is_some_and(|row| !row.is_empty()) {}
            let _ = Envelope::open(&bytes);
        }
    }
}
