//! A key in its three forms: what memory compares, what people see, what Redis stores.
//!
//! What memory compares are bytes: a head of 16, which tell whose value it is and of what kind, and where they suffice the one argument
//! as well; then the rest, if there is one.

use std::fmt;
use std::hash::{BuildHasher, Hasher};
use std::sync::OnceLock;

use smallvec::SmallVec;

use super::groups::GroupId;
use super::stamps::{KEY_KIND, StampName};

/// How many bytes the head of a key in memory has.
pub(crate) const HEAD: usize = 16;

/// What of a group a key in memory is of, so that no two kinds of keys are ever the same.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum KeyKind {
    /// The finder of a model, or the call of a function, by one integer, which is the second half of the head.
    Number = 1,
    /// The finder of a model by one text, which is the rest.
    Word = 2,
    /// The finder of a model, its arguments in binary.
    Finder = 3,
    /// Any other read of a model.
    Text = 4,
    /// A call of a function.
    Call = 5,
    /// A value by hand.
    Manual = 6,
    /// The call of a function by one integer without a sign, which is the second half of the head.
    Unsigned = 7,
    /// The finder of a model, or the call of a function, by one text of so many bytes, which are the second half of the head.
    Word0 = 16,
    Word1,
    Word2,
    Word3,
    Word4,
    Word5,
    Word6,
    Word7,
    Word8,
}

/// The head of a key in memory: whose it is, which kind, which finder and which shape of answer (0 where there is none); and what
/// tells it from others besides, often a fingerprint.
#[inline]
pub(crate) fn head(
    group: &'static GroupId,
    kind: KeyKind,
    (finder, shape): (u16, u8),
    second: u64,
) -> [u8; HEAD] {
    // The number of a group is below 1,024.
    let first =
        (group.slot() as u64) | u64::from(finder) << 16 | u64::from(shape) << 32 | (kind as u64) << 40;
    let mut head = [0; HEAD];
    head[..8].copy_from_slice(&first.to_le_bytes());
    head[8..].copy_from_slice(&second.to_le_bytes());
    head
}

/// A text of up to 8 bytes as a number, and the kind of key that it makes: one for each length.
#[inline]
pub(crate) fn short_word(word: &str) -> Option<(KeyKind, u64)> {
    const KINDS: [KeyKind; 9] = [
        KeyKind::Word0,
        KeyKind::Word1,
        KeyKind::Word2,
        KeyKind::Word3,
        KeyKind::Word4,
        KeyKind::Word5,
        KeyKind::Word6,
        KeyKind::Word7,
        KeyKind::Word8,
    ];
    let kind = *KINDS.get(word.len())?;
    let number = word.bytes().rev().fold(0, |number, byte| number << 8 | u64::from(byte));
    Some((kind, number))
}

/// The number of the group in the head of a key.
pub(crate) fn slot_of(head: [u8; HEAD]) -> usize {
    usize::from(u16::from_le_bytes([head[0], head[1]]))
}

/// The key of one value.
///
/// Made by the engine; layers only read it. [`as_str`](Self::as_str) is unique over prefix, scope, logical key and shape.
#[derive(Clone)]
pub struct Key {
    full: SmallVec<[u8; 40]>,
    hash: u64,
    /// The name that ends it, which has the prefix and the logical key.
    name: StampName,
    /// How long the prefix is, in bytes.
    prefix: usize,
    fingerprint: u64,
    /// The whole key, once somebody asked for it in one piece.
    whole: OnceLock<Box<str>>,
}

impl Key {
    /// The key of an answer of the shape that has this fingerprint; `prefix` is everything before the logical key. What is looked up
    /// in memory begins with a [`head`].
    pub(crate) fn new(lookup: Lookup<'_>, prefix: &str, logical: &str, fingerprint: u64) -> Self {
        Self::named(lookup, StampName::of_key(prefix, logical), prefix.len(), fingerprint)
    }

    /// The same by the name that ends it, of which the prefix is so many bytes.
    pub(crate) fn named(lookup: Lookup<'_>, name: StampName, prefix: usize, fingerprint: u64) -> Self {
        Self {
            full: SmallVec::from_slice(lookup.full),
            hash: lookup.hash,
            name,
            prefix,
            fingerprint,
            whole: OnceLock::new(),
        }
    }

    /// The whole key as a layer stores it: `pie:user:42@90ab…`.
    #[must_use]
    pub fn as_str(&self) -> &str {
        self.whole.get_or_init(|| {
            let (prefix, logical) = self.parts();
            [prefix, logical, self.suffix().as_str()].concat().into_boxed_str()
        })
    }

    /// The key as people see and delete it: `user:42`.
    #[must_use]
    pub fn logical(&self) -> &str {
        self.parts().1
    }

    /// The name that ends the value, whatever its shape.
    #[must_use]
    pub fn name(&self) -> &StampName {
        &self.name
    }

    /// Everything before the logical key, and the logical key.
    pub(crate) fn parts(&self) -> (&str, &str) {
        let (prefix, rest) = self.name.as_str().split_at(self.prefix);
        (prefix, rest.strip_prefix(KEY_KIND).unwrap_or(rest))
    }

    /// Everything after the logical key.
    pub(crate) fn suffix(&self) -> Suffix {
        let mut suffix = [b'@'; Suffix::LEN];
        for (byte, places) in self.fingerprint.to_be_bytes().into_iter().zip(suffix[1..].chunks_exact_mut(2))
        {
            let digit = |four: u8| b"0123456789abcdef"[usize::from(four & 15)];
            places.copy_from_slice(&[digit(byte >> 4), digit(byte)]);
        }
        Suffix(suffix)
    }

    /// The form for a look-up in memory.
    #[must_use]
    pub fn lookup(&self) -> Lookup<'_> {
        Lookup { full: &self.full, hash: self.hash }
    }
}

/// What a key ends with: `@` and the fingerprint.
#[derive(Clone, Copy)]
pub(crate) struct Suffix([u8; Self::LEN]);

impl Suffix {
    /// How many bytes it has.
    pub(crate) const LEN: usize = 17;

    pub(crate) fn as_bytes(&self) -> &[u8] {
        &self.0
    }

    pub(crate) fn as_str(&self) -> &str {
        // Digits are text.
        std::str::from_utf8(self.as_bytes()).unwrap_or_default()
    }
}

impl PartialEq for Key {
    fn eq(&self, other: &Self) -> bool {
        self.full == other.full && self.name == other.name && self.fingerprint == other.fingerprint
    }
}

impl Eq for Key {}

impl fmt::Debug for Key {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // The arguments of a key are values of rows; the family is not.
        let family = self.logical().split(':').next().unwrap_or_default();
        write!(f, "Key({family}:…)")
    }
}

/// A key on the stack: bytes that tell it from every other key of the engine, and their hash.
///
/// The hash is seeded anew for each engine, so nobody can choose keys that collide.
#[derive(Clone, Copy)]
pub struct Lookup<'k> {
    pub(crate) full: &'k [u8],
    pub(crate) hash: u64,
}

impl<'k> Lookup<'k> {
    /// The head and the rest.
    #[inline]
    pub(crate) fn parts(self) -> ([u8; HEAD], &'k [u8]) {
        match self.full.split_first_chunk() {
            Some((head, rest)) => (*head, rest),
            // Keys are made with one.
            None => ([0; HEAD], self.full),
        }
    }

    /// The hash of the key.
    #[must_use]
    pub fn hash(&self) -> u64 {
        self.hash
    }

    /// The bytes of the key; two keys are the same when these are.
    #[must_use]
    pub fn bytes(&self) -> &'k [u8] {
        self.full
    }
}

impl fmt::Debug for Lookup<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Lookup({:016x})", self.hash)
    }
}

/// The hash of a hash is itself.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct AsIs(u64);

impl Hasher for AsIs {
    fn finish(&self) -> u64 {
        self.0
    }

    fn write(&mut self, bytes: &[u8]) {
        // Only `u64` keys come here, through `write_u64`; anything else still hashes to something.
        for byte in bytes {
            self.0 = self.0.rotate_left(8) ^ u64::from(*byte);
        }
    }

    fn write_u64(&mut self, hash: u64) {
        self.0 = hash;
    }
}

impl BuildHasher for AsIs {
    type Hasher = Self;

    fn build_hasher(&self) -> Self {
        Self(0)
    }
}
