//! How a value lies in Redis: bounded, perhaps compressed, perhaps authenticated.
//!
//! ```text
//! as it is         the envelope (see `codec`)
//! compressed       "piz" | length u32 | LZ4 block of the envelope
//! authenticated    "pia" | tag [u8; 16] | one of the two above
//! ```
//!
//! The tag is BLAKE3's keyed hash of the key's name, a zero byte, and what follows the tag, cut to 128 bits. BLAKE3 in keyed mode
//! is a MAC as HMAC-SHA256 is one (section 2.3 and 7.1 of its paper), and is here already.

use bytes::Bytes;

use super::RedisConfig;
use crate::cache::Key;

const COMPRESSED: &[u8; 3] = b"piz";
const AUTHENTICATED: &[u8; 3] = b"pia";
const TAG: usize = 16;
/// What nothing can be read from: counts as a value that could not be decoded, and is overwritten.
const NOTHING: Bytes = Bytes::new();

/// How values are stored.
pub(super) struct Values {
    /// The longest stored form, in bytes.
    longest: usize,
    /// The length from which an envelope is compressed, in bytes.
    #[cfg_attr(not(feature = "compression"), allow(dead_code, reason = "refused without the feature"))]
    compress_from: Option<usize>,
    /// Each key that a value may be authenticated with; new ones are with the first.
    secrets: Vec<[u8; 32]>,
}

impl Values {
    pub(super) fn new(config: &RedisConfig) -> Self {
        let secrets = config.authenticate_with.iter();
        let key =
            |secret: &String| blake3::derive_key("pie-orm values in redis, version 1", secret.as_bytes());
        Self {
            longest: config.max_value_size,
            compress_from: config.compress_from,
            secrets: secrets.map(key).collect(),
        }
    }

    pub(super) fn longest(&self) -> usize {
        self.longest
    }

    fn tag(secret: &[u8; 32], key: &Key, stored: &[u8]) -> blake3::Hash {
        let mut hasher = blake3::Hasher::new_keyed(secret);
        let (prefix, logical) = key.parts();
        for part in [prefix, logical, key.suffix().as_str()] {
            hasher.update(part.as_bytes());
        }
        hasher.update(&[0]).update(stored);
        hasher.finalize()
    }

    /// The stored form of an envelope; `None` where it is longer than may be stored.
    pub(super) fn seal(&self, key: &Key, envelope: &Bytes) -> Option<Bytes> {
        if envelope.len() > self.longest {
            return None;
        }
        let mut stored = envelope.clone();
        #[cfg(feature = "compression")]
        if self.compress_from.is_some_and(|from| envelope.len() >= from)
            && let Ok(length) = u32::try_from(envelope.len())
        {
            let block = lz4_flex::block::compress(envelope);
            // What does not get shorter stays as it is.
            if block.len() + COMPRESSED.len() + 4 < envelope.len() {
                stored = Bytes::from([&COMPRESSED[..], &length.to_le_bytes(), &block].concat());
            }
        }
        if let Some(secret) = self.secrets.first() {
            let tag = Self::tag(secret, key, &stored);
            stored = Bytes::from([&AUTHENTICATED[..], &tag.as_bytes()[..TAG], &stored].concat());
        }
        (stored.len() <= self.longest).then_some(stored)
    }

    /// The envelope of a stored form; bytes that are none for what this configuration did not write.
    pub(super) fn unseal(&self, key: &Key, stored: Bytes) -> Bytes {
        let mut inner = stored;
        if !self.secrets.is_empty() {
            let Some((tag, authenticated)) =
                inner.strip_prefix(AUTHENTICATED).and_then(|rest| rest.split_at_checked(TAG))
            else {
                return NOTHING;
            };
            let fits = |secret: &[u8; 32]| {
                let mut whole = *Self::tag(secret, key, authenticated).as_bytes();
                whole[TAG..].fill(0);
                let mut given = [0; 32];
                given[..TAG].copy_from_slice(tag);
                // In constant time, as `blake3::Hash` compares.
                blake3::Hash::from_bytes(whole) == blake3::Hash::from_bytes(given)
            };
            if !self.secrets.iter().any(fits) {
                return NOTHING;
            }
            inner = inner.slice(AUTHENTICATED.len() + TAG..);
        }
        match inner.strip_prefix(COMPRESSED) {
            None => inner,
            Some(block) => self.expand(block).unwrap_or(NOTHING),
        }
    }

    /// Undoes compression, within bounds whatever the bytes claim.
    #[cfg(feature = "compression")]
    fn expand(&self, block: &[u8]) -> Option<Bytes> {
        let (length, block) = block.split_at_checked(4)?;
        let length = usize::try_from(u32::from_le_bytes(length.try_into().ok()?)).ok()?;
        if length > self.longest {
            return None;
        }
        lz4_flex::block::decompress(block, length).ok().map(Bytes::from)
    }

    #[cfg(not(feature = "compression"))]
    #[allow(clippy::unused_self, reason = "the other has it")]
    fn expand(&self, _: &[u8]) -> Option<Bytes> {
        None
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cache::Lookup;
    use proptest::prelude::*;

    fn values(change: impl FnOnce(RedisConfig) -> RedisConfig) -> Values {
        Values::new(&change(RedisConfig::default()))
    }

    fn key(text: &str) -> Key {
        Key::new(Lookup { full: &[], hash: 0 }, "pie:", text, 0)
    }

    #[test]
    fn a_value_comes_back_in_every_form() {
        let envelope = Bytes::from(vec![7; 10_000]);
        let plain = values(|config| config);
        let signed = values(|config| config.authenticate_with(["one"]));
        for values in [&plain, &signed] {
            let stored = values.seal(&key("a"), &envelope).expect("fits");
            assert_eq!(values.unseal(&key("a"), stored), envelope);
        }
        #[cfg(feature = "compression")]
        for secrets in [&[][..], &["one"]] {
            let small =
                values(|config| config.compress_from(1_000).authenticate_with(secrets.iter().copied()));
            let stored = small.seal(&key("a"), &envelope).expect("fits");
            assert!(stored.len() < 200, "{}", stored.len());
            assert_eq!(small.unseal(&key("a"), stored), envelope);
            let short = Bytes::from(vec![7; 999]);
            let stored = small.seal(&key("a"), &short).expect("fits");
            assert!(stored.len() >= 999, "below the threshold it stays as it is");
            // A program without the threshold still reads what one with it wrote.
            let stored =
                values(|config| config.compress_from(1_000)).seal(&key("a"), &envelope).expect("fits");
            assert_eq!(plain.unseal(&key("a"), stored), envelope);
        }
    }

    #[test]
    fn what_is_too_long_is_not_stored() {
        let small = values(|config| config.max_value_size(100));
        assert!(small.seal(&key("a"), &Bytes::from(vec![7; 100])).is_some());
        assert!(small.seal(&key("a"), &Bytes::from(vec![7; 101])).is_none());
    }

    #[test]
    fn only_who_knows_the_secret_is_believed_and_only_under_that_key() {
        let envelope = Bytes::from_static(b"a value of some length");
        let one = values(|config| config.authenticate_with(["one"]));
        let stored = one.seal(&key("a"), &envelope).expect("fits");
        assert_eq!(one.unseal(&key("b"), stored.clone()), NOTHING, "another key's");
        assert_eq!(
            values(|config| config.authenticate_with(["two"])).unseal(&key("a"), stored.clone()),
            NOTHING
        );
        assert_eq!(one.unseal(&key("a"), envelope.clone()), NOTHING, "not authenticated");
        let both = values(|config| config.authenticate_with(["two", "one"]));
        assert_eq!(both.unseal(&key("a"), stored.clone()), envelope, "while a secret is being replaced");
        for at in 0..stored.len() {
            let mut flipped = stored.to_vec();
            flipped[at] ^= 1;
            assert_eq!(one.unseal(&key("a"), Bytes::from(flipped)), NOTHING, "byte {at}");
        }
    }

    proptest! {
        #[test]
        fn foreign_bytes_are_nothing_and_no_panic(bytes: Vec<u8>, compressed: bool) {
            let bytes = if compressed { [&COMPRESSED[..], &bytes].concat() } else { bytes };
            let plain = values(|config| config);
            let out = plain.unseal(&key("a"), Bytes::from(bytes.clone()));
            prop_assert!(out.len() <= plain.longest().max(bytes.len()));
            prop_assert_eq!(values(|config| config.authenticate_with(["x"])).unseal(&key("a"), Bytes::from(bytes)), NOTHING);
        }
    }
}
