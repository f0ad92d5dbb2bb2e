//! Local versions: a fixed array of counters that tells in nanoseconds whether an entry was invalidated.
//!
//! Whatever can be invalidated has a name. A name's hash picks a slot; an invalidation counts the slot up; an entry
//! remembers the slots it depends on as they were before its load began, and is served only while all of them are still
//! the same. Two names that share a slot cost an extra miss, never a wrong hit. No locks, no growth, no garbage.
//!
//! The *epoch* is one more counter that every entry depends on: counted up when messages of other processes may have been
//! missed, it ends all entries of this process at once.

use std::fmt;
use std::hash::{BuildHasher, Hash, Hasher};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use foldhash::fast::RandomState;
use smallvec::SmallVec;

use crate::codec::name_hash;
use crate::plan::text::Text;

/// The name of something that can be invalidated, as a shared layer stores its token: `pie:~k:user:42`.
///
/// Kinds never collide: `~n` the namespace, `~f:` a family, `~k:` a logical key, `~i:` a value of an index, `~w:` every
/// write to a table, `~t:` a tag.
///
/// Cloning is a reference count.
#[derive(Clone)]
pub struct StampName {
    text: Arc<str>,
    /// Its hash in the wire format.
    wire: u64,
}

impl PartialEq for StampName {
    fn eq(&self, other: &Self) -> bool {
        self.wire == other.wire && self.text == other.text
    }
}

impl Eq for StampName {}

impl PartialOrd for StampName {
    fn partial_cmp(&self, other: &Self) -> Option<std::cmp::Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for StampName {
    fn cmp(&self, other: &Self) -> std::cmp::Ordering {
        self.text.cmp(&other.text)
    }
}

impl Hash for StampName {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.wire.hash(state);
    }
}

impl StampName {
    /// `scope` is the engine's prefix and its scope, `name` the kind and the rest.
    pub(crate) fn new(scope: &str, name: &str) -> Self {
        Self::of([scope, "~", name].concat())
    }

    /// The name that this is the text of.
    pub(crate) fn from_text(text: &str) -> Self {
        Self::of(text)
    }

    fn of(text: impl Into<Arc<str>>) -> Self {
        let text = text.into();
        Self { wire: name_hash(&text), text }
    }

    /// The name of a logical key.
    pub(crate) fn of_key(scope: &str, logical: &str) -> Self {
        let mut text = Text::from(scope);
        text.extend_from_slice(KEY_KIND.as_bytes());
        text.extend_from_slice(logical.as_bytes());
        match std::str::from_utf8(&text) {
            Ok(text) => Self::of(text),
            // All three parts are text.
            Err(_) => Self::of([scope, KEY_KIND, logical].concat()),
        }
    }

    /// The whole name, to be kept beside it.
    pub(crate) fn text(&self) -> Arc<str> {
        Arc::clone(&self.text)
    }

    /// Its hash in the wire format.
    pub(crate) fn wire_hash(&self) -> u64 {
        self.wire
    }

    /// The name of everything that has the same prefix, whatever its scope.
    #[cfg(feature = "redis")]
    pub(crate) fn namespace(&self) -> Self {
        let prefix = self.text.split_once('~').map_or(&*self.text, |(prefix, _)| prefix);
        Self::new(prefix, "n")
    }

    /// The scope, with the engine's prefix, and the name within it: `pie:` and `k:user:42`.
    pub(crate) fn parts(&self) -> (&str, &str) {
        Self::parts_of(&self.text)
    }

    /// The same of a name as text.
    pub(crate) fn parts_of(text: &str) -> (&str, &str) {
        // A scope's own text and every argument have `~` only in front of a kind of one letter and a colon, or `n`; the
        // last scope ends before the first kind that is not `s`.
        let mut from = 0;
        while let Some(at) = text[from..].find('~').map(|at| at + from) {
            if !text[at + 1..].starts_with("s:") {
                return (&text[..at], &text[at + 1..]);
            }
            from = at + 1;
        }
        ("", text)
    }

    /// The name of the family whose entries all depend on this name; `None` for names that entries of several families
    /// may depend on.
    #[cfg(feature = "redis")]
    pub(crate) fn family(&self) -> Option<Self> {
        let (scope, name) = self.parts();
        let (kind, rest) = name.split_once(':')?;
        let end = match kind {
            "k" => rest.find(':').unwrap_or(rest.len()),
            "i" => rest.find(['.', '=']).unwrap_or(rest.len()),
            _ => return None,
        };
        Some(Self::new(scope, &format!("f:{}", &rest[..end])))
    }

    /// A name as it came from another process; `None` for text that is no name.
    #[cfg(feature = "redis")]
    pub(crate) fn received(text: &str) -> Option<Self> {
        text.contains('~').then(|| Self::of(text))
    }

    /// The whole name.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.text
    }
}

impl AsRef<[u8]> for StampName {
    fn as_ref(&self) -> &[u8] {
        self.text.as_bytes()
    }
}

impl fmt::Debug for StampName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // What follows the kind may be a value of a row.
        let kind = self.text.split_once('~').map_or("?", |(_, rest)| rest.get(..1).unwrap_or("?"));
        write!(f, "StampName(~{kind}…)")
    }
}

/// What stands between the scope and the logical key in the name of a key.
pub(crate) const KEY_KIND: &str = "~k:";

/// Some slots of local versions.
pub(crate) type Slots = SmallVec<[u32; 6]>;

/// The epoch and the slots an entry depends on, as they were before its load.
///
/// Epoch and versions only grow, so that their sum is the same only while each of them is.
#[derive(Debug, PartialEq, Eq, Default)]
pub(crate) struct Snapshot {
    sum: u64,
    slots: Slots,
}

impl Clone for Snapshot {
    fn clone(&self) -> Self {
        // At once, where the derived one goes number by number.
        Self { sum: self.sum, slots: SmallVec::from_slice(&self.slots) }
    }
}

impl Snapshot {
    pub(crate) fn as_ref(&self) -> SnapshotRef<'_> {
        SnapshotRef { sum: self.sum, slots: &self.slots }
    }
}

/// A [`Snapshot`], wherever it is kept.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct SnapshotRef<'s> {
    pub(crate) sum: u64,
    pub(crate) slots: &'s [u32],
}

/// The local versions of one engine.
pub(crate) struct Stamps {
    slots: Box<[AtomicU64]>,
    /// Starts at random, so that no entry that another engine made is ever valid here.
    epoch: AtomicU64,
    mask: u64,
    hasher: RandomState,
}

impl Stamps {
    /// 2^20 slots of 8 bytes.
    pub(crate) const DEFAULT_BITS: u32 = 20;

    pub(crate) fn with_bits(bits: u32) -> Self {
        let count = 1_u64 << bits;
        Self {
            slots: (0..count).map(|_| AtomicU64::new(0)).collect(),
            epoch: AtomicU64::new(fastrand::u64(..)),
            mask: count - 1,
            hasher: RandomState::default(),
        }
    }

    /// The hash of a key or name, seeded for this engine.
    pub(crate) fn hash(&self, bytes: &[u8]) -> u64 {
        let mut hasher = self.hasher.build_hasher();
        hasher.write(bytes);
        hasher.finish()
    }

    /// The slot of a name.
    pub(crate) fn slot(&self, name: &StampName) -> u32 {
        u32::try_from(self.hash(name.as_str().as_bytes()) & self.mask).unwrap_or(0)
    }

    fn version(&self, slot: u32) -> u64 {
        // Acquire: who sees a bump sees everything the writer did before it.
        self.slots.get(slot as usize).map_or(0, |version| version.load(Ordering::Acquire))
    }

    /// The epoch and all versions together.
    #[inline]
    fn sum(&self, slots: &[u32]) -> u64 {
        let epoch = self.epoch.load(Ordering::Acquire);
        slots.iter().fold(epoch, |sum, slot| sum.wrapping_add(self.version(*slot)))
    }

    /// The versions of these names now; to be taken before the load begins.
    pub(crate) fn snapshot<'n>(&self, names: impl IntoIterator<Item = &'n StampName>) -> Snapshot {
        self.snapshot_of(self.slots(names))
    }

    /// The slots of these names, in their order.
    pub(crate) fn slots<'n>(&self, names: impl IntoIterator<Item = &'n StampName>) -> Slots {
        let mut slots = Slots::new();
        for name in names {
            if !(mistake!(TagFoldedAway) && name.parts().1.starts_with("t:")) {
                slots.push(self.slot(name));
            }
        }
        slots
    }

    /// The versions in these slots now; to be taken before the load begins.
    pub(crate) fn snapshot_of(&self, slots: Slots) -> Snapshot {
        Snapshot { sum: self.sum(&slots), slots }
    }

    /// Whether nothing in the snapshot was invalidated since.
    #[inline]
    pub(crate) fn holds(&self, snapshot: SnapshotRef<'_>) -> bool {
        self.sum(snapshot.slots) == snapshot.sum
    }

    /// Invalidates everything in this process.
    pub(crate) fn bump_epoch(&self) {
        self.epoch.fetch_add(1, Ordering::AcqRel);
    }

    /// Invalidates everything that depends on one of the names.
    pub(crate) fn bump<'n>(&self, names: impl IntoIterator<Item = &'n StampName>) {
        for name in names {
            if let Some(version) = self.slots.get(self.slot(name) as usize) {
                version.fetch_add(1, Ordering::AcqRel);
            }
        }
    }
}

impl fmt::Debug for Stamps {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Stamps").field("slots", &self.slots.len()).finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn name(text: &str) -> StampName {
        StampName::new("pie:", text)
    }

    #[test]
    fn a_bump_ends_every_snapshot_with_the_name_and_no_other() {
        let stamps = Stamps::with_bits(20);
        let (a, b) = (name("k:user:1"), name("k:user:2"));
        let (on_a, on_both, on_b) = (stamps.snapshot([&a]), stamps.snapshot([&a, &b]), stamps.snapshot([&b]));
        assert!(stamps.holds(on_a.as_ref()) && stamps.holds(on_both.as_ref()) && stamps.holds(on_b.as_ref()));
        stamps.bump([&a]);
        assert!(!stamps.holds(on_a.as_ref()) && !stamps.holds(on_both.as_ref()));
        assert!(stamps.holds(on_b.as_ref()));
    }

    #[test]
    fn names_in_one_slot_cost_a_miss_never_a_wrong_hit() {
        let stamps = Stamps::with_bits(0);
        let on_a = stamps.snapshot([&name("k:a")]);
        stamps.bump([&name("k:b")]);
        assert!(!stamps.holds(on_a.as_ref()));
    }

    #[test]
    fn the_epoch_ends_every_snapshot_and_none_of_another_engine_is_valid() {
        let stamps = Stamps::with_bits(4);
        let before = stamps.snapshot([&name("k:a")]);
        stamps.bump_epoch();
        assert!(!stamps.holds(before.as_ref()));
        assert!(!Stamps::with_bits(4).holds(stamps.snapshot([]).as_ref()));
    }

    #[test]
    fn names_know_their_scope_and_their_family() {
        let scoped = StampName::new("pie:~s:a:~s:b:", "k:user:~s:7");
        assert_eq!(scoped.parts(), ("pie:~s:a:~s:b:", "k:user:~s:7"));
        #[cfg(feature = "redis")]
        {
            assert_eq!(scoped.family(), Some(StampName::new("pie:~s:a:~s:b:", "f:user")));
            assert_eq!(name("k:alone").family(), Some(name("f:alone")));
            assert_eq!(name("i:users.status=a:b").family(), Some(name("f:users")));
            assert_eq!((name("t:users").family(), name("n").family()), (None, None));
        }
    }

    #[test]
    fn debug_shows_the_kind_and_not_the_value() {
        assert_eq!(format!("{:?}", name("k:user:email:ann")), "StampName(~k…)");
    }
}
