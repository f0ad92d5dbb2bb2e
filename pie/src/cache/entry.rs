//! One cached value: cheap to clone, decoded at most once.

use std::any::Any;
use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicU8, AtomicU32, AtomicU64, Ordering};

use super::key::{HEAD, Key, Lookup, slot_of};
use super::stamps::{Snapshot, SnapshotRef};
use crate::codec::CodecId;

/// A value of any type, shared.
pub(crate) type AnyValue = Arc<dyn Any + Send + Sync>;

/// A value and whether it is "no such row" or an empty list.
#[derive(Clone)]
pub(crate) struct Payload {
    pub(crate) value: AnyValue,
    pub(crate) empty: bool,
}

impl fmt::Debug for Payload {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Payload").field("empty", &self.empty).finish_non_exhaustive()
    }
}

/// How values of one type are written and read; functions, so that one table serves every value of the type.
pub(crate) struct ValueCodec {
    pub(crate) id: CodecId,
    pub(crate) encode: fn(&(dyn Any + Send + Sync)) -> Option<Vec<u8>>,
    pub(crate) decode: fn(&[u8]) -> Option<Payload>,
    /// The bytes of the value in memory, its own size included.
    pub(crate) weigh: fn(&(dyn Any + Send + Sync)) -> usize,
    /// The tags in a payload, for values whose reader need not know their tags.
    pub(crate) tags: Option<TagsOf>,
}

/// Reads the tags out of a payload.
pub(crate) type TagsOf = fn(&[u8]) -> Option<Vec<Box<str>>>;

impl fmt::Debug for ValueCodec {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ValueCodec").field("id", &self.id).finish_non_exhaustive()
    }
}

/// A cached value with its deadline and the versions it was loaded under. Cloning is a reference count.
#[derive(Clone)]
pub struct Entry(Arc<Inner>);

/// How many slots of versions an entry has in itself.
const SLOTS: usize = 4;

/// What an entry refers to: first what a hit looks at, so that it lies together, then the rest.
#[repr(C)]
pub(crate) struct Inner {
    /// The head of the key.
    head: [u8; HEAD],
    value: AnyValue,
    /// The epoch and the versions of the slots together, before the load.
    sum: u64,
    slots: [u32; SLOTS],
    /// In milliseconds on the steady clock, like the others.
    loaded_at: u64,
    deadline: u64,
    /// Whether the value is "no such row" or an empty list.
    empty: bool,
    /// How many of the slots there are; with more than fit they are all apart.
    count: u8,
    /// How many hits a store was told of; it stops at a few.
    told: AtomicU8,
    /// How many bytes the key has behind its head.
    rest_len: u32,
    /// How many stores hold it.
    held: AtomicU32,
    weight: u32,
    hash: u64,
    /// Until when nobody else begins to load the value anew.
    claimed: AtomicU64,
    keep_until: u64,
    /// The name of the key itself.
    name: Arc<str>,
    /// What few entries have.
    apart: Option<Box<Apart>>,
}

/// What few entries have.
struct Apart {
    /// The key behind its head, where the name does not end with it.
    rest: Box<[u8]>,
    /// The slots, where they are more than have a place in the entry.
    slots: Box<[u32]>,
}

impl Inner {
    #[inline(always)]
    pub(crate) fn is_for(&self, key: Lookup<'_>) -> bool {
        let (head, rest) = key.parts();
        self.head == head && self.rest_len as usize == rest.len() && (rest.is_empty() || self.ends_with(rest))
    }

    /// Whether the key behind its head is this; it is as long.
    fn ends_with(&self, rest: &[u8]) -> bool {
        match &self.apart {
            Some(apart) if !apart.rest.is_empty() => *apart.rest == *rest,
            _ => self.name.as_bytes().ends_with(rest),
        }
    }

    pub(crate) fn deadline(&self) -> u64 {
        self.deadline
    }

    pub(crate) fn loaded_at(&self) -> u64 {
        self.loaded_at
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.empty
    }

    /// The versions that it was loaded under.
    #[inline]
    pub(crate) fn snapshot(&self) -> SnapshotRef<'_> {
        let slots = match self.slots.get(..usize::from(self.count)) {
            Some(slots) => slots,
            None => self.apart.as_ref().map_or(&[][..], |apart| &apart.slots),
        };
        SnapshotRef { sum: self.sum, slots }
    }

    pub(crate) fn value(&self) -> &AnyValue {
        &self.value
    }

    pub(crate) fn hash(&self) -> u64 {
        self.hash
    }

    pub(crate) fn weight(&self) -> u32 {
        self.weight
    }

    /// Takes on to load the value anew; `false` where another took it on, less than `hold` milliseconds ago.
    pub(crate) fn claim(&self, now: u64, hold: u64) -> bool {
        let claimed = self.claimed.load(Ordering::Relaxed);
        let until = now.saturating_add(hold.max(1));
        claimed <= now
            && self.claimed.compare_exchange(claimed, until, Ordering::Relaxed, Ordering::Relaxed).is_ok()
    }

    /// Counts a store that begins to hold it.
    pub(crate) fn hold(&self) {
        self.held.fetch_add(1, Ordering::AcqRel);
    }

    /// Counts a store that lets it go; whether it was the last.
    pub(crate) fn let_go(&self) -> bool {
        self.held.fetch_sub(1, Ordering::AcqRel) == 1
    }

    /// Whether this is one of the first hits that a store is told of, `first` of them. Counts about, not exactly.
    pub(crate) fn is_new(&self, first: u8) -> bool {
        let told = self.told.load(Ordering::Relaxed);
        if told < first {
            self.told.store(told + 1, Ordering::Relaxed);
        }
        told < first
    }
}

/// The times of an entry, in milliseconds on the steady clock.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Times {
    pub(crate) loaded_at: u64,
    pub(crate) deadline: u64,
    pub(crate) keep_until: u64,
}

impl Entry {
    /// What mini-moka and the counters of the `Arc`s cost for one entry, measured in bytes.
    const OVERHEAD: usize = 296;

    /// `weight` is what the value takes, in bytes.
    pub(crate) fn new(
        key: &Key,
        Payload { value, empty }: Payload,
        weight: usize,
        times: Times,
        snapshot: &Snapshot,
    ) -> Self {
        let lookup = key.lookup();
        let (head, rest) = lookup.parts();
        let name = key.name().text();
        // A key that ends as its name does is not kept twice.
        let alone = !name.as_bytes().ends_with(rest);
        let given = snapshot.as_ref();
        let many = given.slots.len() > SLOTS;
        let mut slots = [0; SLOTS];
        if !many {
            slots[..given.slots.len()].copy_from_slice(given.slots);
        }
        let apart = (alone || many).then(|| {
            Box::new(Apart {
                rest: if alone { rest.into() } else { Box::default() },
                slots: if many { given.slots.into() } else { Box::default() },
            })
        });
        let beside = apart
            .as_ref()
            .map_or(0, |apart| size_of::<Apart>() + apart.rest.len() + size_of_val(&*apart.slots));
        let weight = size_of::<Inner>() + Self::OVERHEAD + name.len() + beside + weight;
        Self(Arc::new(Inner {
            head,
            value,
            sum: given.sum,
            slots,
            loaded_at: times.loaded_at,
            deadline: times.deadline,
            empty,
            // A value has a few names.
            count: u8::try_from(given.slots.len()).unwrap_or(u8::MAX),
            told: AtomicU8::new(0),
            rest_len: u32::try_from(rest.len()).unwrap_or(u32::MAX),
            held: AtomicU32::new(0),
            weight: u32::try_from(weight).unwrap_or(u32::MAX),
            hash: key.lookup().hash,
            claimed: AtomicU64::new(0),
            keep_until: times.keep_until,
            name,
            apart,
        }))
    }

    pub(crate) fn of(inner: &Arc<Inner>) -> Self {
        Self(Arc::clone(inner))
    }

    pub(crate) fn inner(&self) -> &Arc<Inner> {
        &self.0
    }

    pub(crate) fn into_inner(self) -> Arc<Inner> {
        self.0
    }

    /// Whether this is the entry of that key, compared byte by byte.
    #[must_use]
    pub fn is_for(&self, key: Lookup<'_>) -> bool {
        self.0.is_for(key)
    }

    /// Until when it is fresh, in milliseconds on the engine's steady clock.
    #[must_use]
    pub fn deadline(&self) -> u64 {
        self.0.deadline
    }

    /// Until when it is of use, in milliseconds on the engine's steady clock: past its deadline it may still be served
    /// while it is loaded anew, where a policy says so. A layer may drop it from then on.
    #[must_use]
    pub fn keep_until(&self) -> u64 {
        self.0.keep_until
    }

    /// The stamp name of the key, as [`StampName::as_str`](super::StampName::as_str) gives it.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.0.name
    }

    /// The number of the group that it is counted for.
    pub(crate) fn slot(&self) -> usize {
        slot_of(self.0.head)
    }

    /// Takes on to load the value anew; `false` where another took it on, less than `hold` milliseconds ago.
    pub(crate) fn claim(&self, now: u64, hold: u64) -> bool {
        self.0.claim(now, hold)
    }

    /// Whether somebody took on to load the value anew, or failed to a short while ago.
    pub(crate) fn is_claimed(&self, now: u64) -> bool {
        self.0.claimed.load(Ordering::Relaxed) > now
    }

    /// Lets nobody load the value anew for a while.
    pub(crate) fn hold_off(&self, now: u64, hold: u64) {
        self.0.claimed.fetch_max(now.saturating_add(hold), Ordering::Relaxed);
    }

    /// How many bytes it takes in memory, about: the value's heap, the key and the bookkeeping.
    #[must_use]
    pub fn weight(&self) -> u32 {
        self.0.weight
    }

    pub(crate) fn loaded_at(&self) -> u64 {
        self.0.loaded_at
    }

    pub(crate) fn value(&self) -> &AnyValue {
        &self.0.value
    }

    pub(crate) fn payload(&self) -> Payload {
        Payload { value: Arc::clone(&self.0.value), empty: self.0.empty }
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.0.empty
    }

    pub(crate) fn snapshot(&self) -> SnapshotRef<'_> {
        self.0.snapshot()
    }
}

impl fmt::Debug for Entry {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Entry")
            .field("empty", &self.0.empty)
            .field("loaded_at", &self.0.loaded_at)
            .field("deadline", &self.0.deadline)
            .field("weight", &self.0.weight)
            .finish_non_exhaustive()
    }
}
