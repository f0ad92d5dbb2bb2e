//! Where names lie in a cluster, and under which names.
//!
//! A lookup should ask one shard. So a value and the token of its key lie in one slot: both have the logical key as their hash
//! tag. The two names that every entry depends on, the namespace and its family, would each be on one shard that all lookups
//! have to ask; in a cluster they are *mirrored*: each has 32 copies, one for every 512 slots, and an entry depends on the copy
//! for its own slot, which nearly always is on its own shard. Ending such a name removes all copies, and is acknowledged when all
//! are gone, so that the guarantees are those of one token. Tables, index values and tags are spread by their names.

use std::borrow::Cow;
use std::fmt;
use std::io::Write;
use std::sync::OnceLock;

use crc::{CRC_16_XMODEM, Crc, Table};
use redis::{RedisWrite, ToRedisArgs};

use crate::cache::Key;
use crate::cache::key::Suffix;
use crate::cache::stamps::StampName;

/// How many slots a cluster has.
pub(super) const SLOTS: u16 = 16_384;
/// How many copies a mirrored name has.
const COPIES: u8 = 32;
const CRC: Crc<u16, Table<1>> = Crc::<u16, Table<1>>::new(&CRC_16_XMODEM);

/// The slot of a key, by the part between its first braces if there is one.
pub(super) fn slot(key: &[u8]) -> u16 {
    let tag = key.iter().position(|byte| *byte == b'{').and_then(|open| {
        let rest = &key[open + 1..];
        let close = rest.iter().position(|byte| *byte == b'}')?;
        (close > 0).then(|| &rest[..close])
    });
    CRC.checksum(tag.unwrap_or(key)) % SLOTS
}

/// A text whose slot is this one.
pub(super) fn tag_for(wanted: u16) -> String {
    // Each of the slots is met once in 16,384 numbers in the mean.
    (0_u32..)
        .map(|number| format!("{number:x}"))
        .find(|tag| slot(tag.as_bytes()) == wanted)
        .unwrap_or_default()
}

/// The hash tag of each copy, in the middle of the slots that it is for.
fn tags() -> &'static [String] {
    static TAGS: OnceLock<Vec<String>> = OnceLock::new();
    let width = SLOTS / u16::from(COPIES);
    TAGS.get_or_init(|| (0..u16::from(COPIES)).map(|copy| tag_for(copy * width + width / 2)).collect())
}

/// How names are laid out.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Layout {
    /// One server has all of them.
    Single,
    /// Each lies in the slot of its name.
    Cluster,
}

/// Whether a name has copies.
fn is_mirrored(name: &str) -> bool {
    name == "n" || name.starts_with("f:")
}

impl Layout {
    /// The stored name of a value.
    pub(super) fn key(self, key: &Key) -> StoredKey<'_> {
        let (prefix, logical) = key.parts();
        StoredKey { prefix, logical, suffix: key.suffix(), tagged: self == Self::Cluster }
    }

    /// How many bytes that has.
    pub(super) fn key_len(self, key: &Key) -> usize {
        let (prefix, logical) = key.parts();
        prefix.len() + logical.len() + Suffix::LEN + if self == Self::Single { 0 } else { 2 }
    }

    /// Which copy of a name an entry depends on.
    pub(super) fn copy(self, name: &StampName, key: &Key) -> u8 {
        if self == Self::Single || !is_mirrored(name.parts().1) {
            return 0;
        }
        let slot = slot(self.key(key).to_string().as_bytes());
        // Below 32.
        u8::try_from(slot / (SLOTS / u16::from(COPIES))).unwrap_or(0)
    }

    /// The stored name of a copy of a token.
    pub(super) fn token(self, name: &StampName, copy: u8) -> Cow<'_, str> {
        if self == Self::Single {
            return Cow::Borrowed(name.as_str());
        }
        let (scope, kind) = name.parts();
        if is_mirrored(kind) {
            return Cow::Owned(format!("{scope}~{kind}{{{}}}", tags()[usize::from(copy)]));
        }
        match kind.strip_prefix("k:") {
            Some(logical) => Cow::Owned([scope, "~k:{", logical, "}"].concat()),
            None => Cow::Borrowed(name.as_str()),
        }
    }

    /// How many bytes the name of a token has at most.
    pub(super) fn token_len(self, name: &StampName) -> usize {
        // Braces, and a number of 32 bits in hexadecimal digits between them (`tag_for`).
        name.as_str().len() + if self == Self::Single { 0 } else { 2 + 8 }
    }

    /// All copies of a token.
    pub(super) fn copies(self, name: &StampName) -> impl Iterator<Item = Cow<'_, str>> {
        let mirrored = self == Self::Cluster && is_mirrored(name.parts().1);
        (0..if mirrored { COPIES } else { 1 }).map(move |copy| self.token(name, copy))
    }

    /// What the stored names of tokens match whose logical keys match a pattern.
    pub(super) fn keys_matching(self, scope: &str, pattern: &str) -> String {
        match self {
            Self::Single => format!("{scope}~k:{pattern}"),
            Self::Cluster => format!("{scope}~k:{{{pattern}}}"),
        }
    }
}

/// The stored name of a value, in pieces: it is written into a command without being put together before.
pub(super) struct StoredKey<'k> {
    prefix: &'k str,
    logical: &'k str,
    suffix: Suffix,
    /// Whether the logical key is the hash tag.
    tagged: bool,
}

impl StoredKey<'_> {
    fn pieces(&self) -> [&[u8]; 5] {
        let (open, close) = if self.tagged { ("{", "}") } else { ("", "") };
        let [prefix, open, logical, close] = [self.prefix, open, self.logical, close].map(str::as_bytes);
        [prefix, open, logical, close, self.suffix.as_bytes()]
    }
}

impl fmt::Display for StoredKey<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // Each of them is text.
        self.pieces().into_iter().try_for_each(|piece| f.write_str(&String::from_utf8_lossy(piece)))
    }
}

impl ToRedisArgs for StoredKey<'_> {
    fn write_redis_args<W: RedisWrite + ?Sized>(&self, out: &mut W) {
        let mut argument = out.writer_for_next_arg();
        for piece in self.pieces() {
            // Into memory, which does not fail.
            let _ = argument.write_all(piece);
        }
    }
}

/// A name that lies on the shard with a slot: `prefix` and `name`, and the hash tag.
pub(super) fn on_shard(prefix: &str, name: &str, tag: Option<&str>) -> String {
    match tag {
        None => format!("{prefix}{name}"),
        // The first braces count.
        Some(tag) if prefix.contains('{') => format!("{{{tag}}}{prefix}{name}"),
        Some(tag) => format!("{prefix}{name}{{{tag}}}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cache::Lookup;

    fn key_of(prefix: &str, logical: &str) -> Key {
        Key::new(Lookup { full: &[], hash: 0 }, prefix, logical, 0x0123)
    }

    #[test]
    fn a_key_is_written_as_it_reads() {
        let key = key_of("pie:", "user:7");
        for (layout, expected) in [
            (Layout::Single, "pie:user:7@0000000000000123"),
            (Layout::Cluster, "pie:{user:7}@0000000000000123"),
        ] {
            assert_eq!(layout.key(&key).to_string(), expected);
            assert_eq!(layout.key(&key).to_redis_args(), [expected.as_bytes()]);
        }
        assert_eq!(key.as_str(), "pie:user:7@0000000000000123");
    }

    #[test]
    fn the_room_that_is_made_for_names_is_enough() {
        let key = key_of("pie:", "user:7");
        for layout in [Layout::Single, Layout::Cluster] {
            assert_eq!(layout.key_len(&key), layout.key(&key).to_string().len());
            for name in ["n", "f:user", "k:user:7", "t:adults"].map(|name| StampName::new("pie:", name)) {
                for written in layout.copies(&name) {
                    assert!(written.len() <= layout.token_len(&name), "{written}");
                }
            }
        }
    }

    #[test]
    fn slots_are_those_of_redis() {
        // As `CLUSTER KEYSLOT` says.
        for (key, expected) in [
            ("123456789", 12_739),
            ("foo", 12_182),
            ("{foo}bar", 12_182),
            ("a{}b{foo}", 976),
            ("", 0),
            ("x{", 3_596),
            ("pie:{user:42}@0", 15_880),
        ] {
            assert_eq!(slot(key.as_bytes()), expected, "{key}");
        }
    }

    #[test]
    fn a_value_and_the_token_of_its_key_are_neighbours() {
        for logical in ["user:42", "users:status:even:all", "a}b{c", "}"] {
            let key = key_of("pie:~s:t:", logical);
            let name = StampName::of_key("pie:~s:t:", logical);
            let (key, token) = (Layout::Cluster.key(&key).to_string(), Layout::Cluster.token(&name, 0));
            if !logical.starts_with('}') {
                assert_eq!(slot(key.as_bytes()), slot(token.as_bytes()), "{key} {token}");
            }
        }
    }

    #[test]
    fn copies_are_spread_and_each_entry_has_the_one_beside_it() {
        let name = StampName::new("pie:", "f:user");
        let copies: Vec<u16> = Layout::Cluster.copies(&name).map(|copy| slot(copy.as_bytes())).collect();
        assert_eq!(copies.len(), 32);
        for id in 0..1_000 {
            let key = key_of("pie:", &format!("user:{id}"));
            let copy = Layout::Cluster.copy(&name, &key);
            let (entry, token) =
                (slot(Layout::Cluster.key(&key).to_string().as_bytes()), copies[usize::from(copy)]);
            assert!(entry.abs_diff(token) <= 256, "{entry} {token}");
        }
        assert_eq!(Layout::Single.copies(&name).collect::<Vec<_>>(), ["pie:~f:user"]);
        assert_eq!(Layout::Cluster.copies(&StampName::new("pie:", "t:x")).count(), 1);
    }
}
