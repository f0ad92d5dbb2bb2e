//! One cached value: cheap to clone, decoded at most once, encoded at most once.

use std::any::Any;
use std::fmt;
use std::sync::{Arc, OnceLock};

use bytes::Bytes;

use super::key::{Key, Lookup};
use super::stamps::Snapshot;
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
}

impl fmt::Debug for ValueCodec {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ValueCodec").field("id", &self.id).finish_non_exhaustive()
    }
}

/// A cached value with its deadline and the versions it was loaded under. Cloning is a reference count.
#[derive(Clone)]
pub struct Entry(Arc<Inner>);

struct Inner {
    full: Box<[u8]>,
    payload: Payload,
    codec: &'static ValueCodec,
    encoded: OnceLock<Option<Bytes>>,
    /// On the steady clock, in milliseconds.
    loaded_at: u64,
    deadline: u64,
    snapshot: Snapshot,
    weight: u32,
}

impl Entry {
    /// What mini-moka, the counters of the `Arc`s and the key's copy cost for one entry, measured in bytes.
    const OVERHEAD: usize = 320;

    pub(crate) fn new(
        key: &Key,
        payload: Payload,
        codec: &'static ValueCodec,
        encoded: Option<Bytes>,
        (loaded_at, deadline): (u64, u64),
        snapshot: Snapshot,
    ) -> Self {
        let full: Box<[u8]> = key.lookup().bytes().into();
        let weight = size_of::<Inner>()
            + Self::OVERHEAD
            + full.len()
            + snapshot.heap_bytes()
            + encoded.as_ref().map_or(0, Bytes::len)
            + (codec.weigh)(&*payload.value);
        let cell = OnceLock::new();
        if let Some(bytes) = encoded {
            // A new cell is empty.
            let _ = cell.set(Some(bytes));
        }
        Self(Arc::new(Inner {
            full,
            payload,
            codec,
            encoded: cell,
            loaded_at,
            deadline,
            snapshot,
            weight: u32::try_from(weight).unwrap_or(u32::MAX),
        }))
    }

    /// Whether this is the entry of that key, compared byte by byte.
    #[must_use]
    pub fn is_for(&self, key: Lookup<'_>) -> bool {
        *self.0.full == *key.bytes()
    }

    /// Until when it may be served, in milliseconds on the engine's steady clock.
    #[must_use]
    pub fn deadline(&self) -> u64 {
        self.0.deadline
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
