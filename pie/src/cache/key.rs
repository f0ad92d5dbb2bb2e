//! A key in its three forms: what memory compares, what people see, what Redis stores.

use std::fmt;
use std::hash::{BuildHasher, Hasher};

use smallvec::SmallVec;

/// The key of one value.
///
/// Made by the engine; layers only read it. [`as_str`](Self::as_str) is unique over prefix, scope, logical key and shape.
#[derive(Clone, PartialEq, Eq)]
pub struct Key {
    full: SmallVec<[u8; 40]>,
    hash: u64,
    physical: Box<str>,
    logical_at: usize,
    logical_end: usize,
}

impl Key {
    /// `prefix` is everything before the logical key, `suffix` (`@` and the fingerprint) everything after it.
    pub(crate) fn new(full: &[u8], hash: u64, prefix: &str, logical: &str, suffix: &str) -> Self {
        let physical = [prefix, logical, suffix].concat().into_boxed_str();
        Self {
            full: full.into(),
            hash,
            physical,
            logical_at: prefix.len(),
            logical_end: prefix.len() + logical.len(),
        }
    }

    /// The key of an answer of this shape; its suffix is `@` and the fingerprint.
    pub(crate) fn of_shape(lookup: Lookup<'_>, prefix: &str, logical: &str, fingerprint: u64) -> Self {
        let mut suffix = *b"@0000000000000000";
        for (at, place) in suffix[1..].iter_mut().enumerate() {
            let digit = (fingerprint >> (60 - 4 * at)) & 15;
            *place = b"0123456789abcdef"[usize::try_from(digit).unwrap_or(0)];
        }
        // Digits are text.
        Self::new(lookup.full, lookup.hash, prefix, logical, std::str::from_utf8(&suffix).unwrap_or_default())
    }

    /// The whole key as a layer stores it: `pie:user:42@90ab…`.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.physical
    }

    /// The key as people see and delete it: `user:42`.
    #[must_use]
    pub fn logical(&self) -> &str {
        &self.physical[self.logical_at..self.logical_end]
    }

    /// The form for a look-up in memory.
    #[must_use]
    pub fn lookup(&self) -> Lookup<'_> {
        Lookup { full: &self.full, hash: self.hash }
    }
}

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

impl Lookup<'_> {
    /// The hash of the key.
    #[must_use]
    pub fn hash(&self) -> u64 {
        self.hash
    }

    /// The bytes of the key; two keys are the same when these are.
    #[must_use]
    pub fn bytes(&self) -> &[u8] {
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
