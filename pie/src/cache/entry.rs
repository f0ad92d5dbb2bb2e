//! One cached value: cheap to clone, decoded at most once, encoded at most once.

use std::any::Any;
use std::fmt;
use std::sync::atomic::{AtomicU32, AtomicU64, Ordering};
use std::sync::{Arc, OnceLock};

use bytes::Bytes;
use smallvec::SmallVec;

use super::groups::GroupId;
use super::key::{Key, Lookup};
use super::stamps::{Snapshot, StampName};
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

/// What an entry refers to: first what a hit looks at, in two lines of the processor's cache, then the rest.
#[repr(C, align(64))]
pub(crate) struct Inner {
    /// On the steady clock, in milliseconds.
    loaded_at: u64,
    deadline: u64,
    payload: Payload,
    /// The bytes of the key, beside what else a hit looks at.
    full: SmallVec<[u8; 32]>,
    snapshot: Snapshot,
    keep_until: u64,
    /// Until when nobody else begins to load the value anew, on the steady clock.
    claimed: AtomicU64,
    /// How many stores hold it.
    held: AtomicU32,
    /// How many hits a store was told of; it stops at a few.
    told: AtomicU32,
    hash: u64,
    /// The name of the key itself.
    name: StampName,
    group: &'static GroupId,
    codec: &'static ValueCodec,
    encoded: OnceLock<Option<Bytes>>,
    weight: u32,
}

impl Inner {
    pub(crate) fn is_for(&self, key: Lookup<'_>) -> bool {
        *self.full == *key.full
    }

    pub(crate) fn deadline(&self) -> u64 {
        self.deadline
    }

    pub(crate) fn loaded_at(&self) -> u64 {
        self.loaded_at
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.payload.empty
    }

    pub(crate) fn snapshot(&self) -> &Snapshot {
        &self.snapshot
    }

    pub(crate) fn payload(&self) -> &Payload {
        &self.payload
    }

    pub(crate) fn hash(&self) -> u64 {
        self.hash
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
    pub(crate) fn is_new(&self, first: u32) -> bool {
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
    /// What mini-moka, the counters of the `Arc`s and the key's copy cost for one entry, measured in bytes.
    const OVERHEAD: usize = 320;

    pub(crate) fn new(
        (key, name, group): (&Key, &StampName, &'static GroupId),
        payload: Payload,
        codec: &'static ValueCodec,
        encoded: Option<Bytes>,
        times: Times,
        snapshot: Snapshot,
    ) -> Self {
        let full: SmallVec<[u8; 32]> = key.lookup().bytes().into();
        let weight = size_of::<Inner>()
            + Self::OVERHEAD
            + if full.spilled() { full.len() } else { 0 }
            + name.as_str().len()
            + snapshot.heap_bytes()
            + encoded.as_ref().map_or(0, Bytes::len)
            + (codec.weigh)(&*payload.value);
        let cell = OnceLock::new();
        if let Some(bytes) = encoded {
            // A new cell is empty.
            let _ = cell.set(Some(bytes));
        }
        Self(Arc::new(Inner {
            loaded_at: times.loaded_at,
            deadline: times.deadline,
            payload,
            full,
            snapshot,
            keep_until: times.keep_until,
            claimed: AtomicU64::new(0),
            held: AtomicU32::new(0),
            told: AtomicU32::new(0),
            hash: key.lookup().hash,
            name: name.clone(),
            group,
            codec,
            encoded: cell,
            weight: u32::try_from(weight).unwrap_or(u32::MAX),
        }))
    }

    pub(crate) fn of(inner: &Arc<Inner>) -> Self {
        Self(Arc::clone(inner))
    }

    pub(crate) fn inner(&self) -> &Arc<Inner> {
        &self.0
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

    /// The stamp name of the key.
    #[must_use]
    pub fn name(&self) -> &StampName {
        &self.0.name
    }

    pub(crate) fn group(&self) -> &'static GroupId {
        self.0.group
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
        &self.0.payload.value
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.0.payload.empty
    }

    pub(crate) fn snapshot(&self) -> &Snapshot {
        &self.0.snapshot
    }

    pub(crate) fn codec(&self) -> &'static ValueCodec {
        self.0.codec
    }

    /// The payload in the wire format, made once; `None` for a value that cannot be written.
    pub(crate) fn encoded(&self) -> Option<&Bytes> {
        self.0.encoded.get_or_init(|| (self.0.codec.encode)(&*self.0.payload.value).map(Bytes::from)).as_ref()
    }
}

impl fmt::Debug for Entry {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Entry")
            .field("empty", &self.0.payload.empty)
            .field("loaded_at", &self.0.loaded_at)
            .field("deadline", &self.0.deadline)
            .field("weight", &self.0.weight)
            .finish_non_exhaustive()
    }
}
