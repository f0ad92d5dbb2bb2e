//! L1: typed entries in mini-moka, kept as they are, nothing decoded on a hit.
//!
//! mini-moka admits and evicts (TinyLFU, weighted by bytes). It has one time to live for a whole cache and cannot look a
//! `String` key up by `&str`, so deadlines are ours and are checked on each hit, and its key is a 64-bit hash, seeded anew
//! for each engine, with the full key compared in the entry: a collision costs a miss, never a wrong answer.

use std::fmt;
use std::hash::{BuildHasher, Hasher};

use mini_moka::sync::Cache;

use crate::cache::{BoxFuture, CacheLayer, Entry, Key, LayerUsage, Lookup, Peek};
use crate::error::Result;
use crate::query::Source;

/// The hash of a hash is itself.
#[derive(Debug, Clone, Copy, Default)]
struct AsIs(u64);

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

/// The memory layer: entries in this process, up to a number of bytes.
///
/// # Examples
///
/// ```
/// use pie::Memory;
///
/// let small = Memory::max_bytes(16 << 20);
/// # let _ = small;
/// ```
pub struct Memory {
    cache: Cache<u64, Entry, AsIs>,
    max_bytes: u64,
}

impl Memory {
    /// The byte budget of [`Memory::default`]: 64 MiB.
    pub const DEFAULT_BYTES: u64 = 64 << 20;

    /// A memory layer that holds entries of about this many bytes together: values with what they own on the heap, keys
    /// and bookkeeping. mini-moka evicts in batches, so the sum is exceeded for moments.
    #[must_use]
    pub fn max_bytes(bytes: u64) -> Self {
        let cache = Cache::builder()
            .max_capacity(bytes)
            .weigher(|_, entry: &Entry| entry.weight())
            .build_with_hasher(AsIs::default());
        Self { cache, max_bytes: bytes }
    }
}

impl Default for Memory {
    /// A memory layer of 64 MiB.
    fn default() -> Self {
        Self::max_bytes(Self::DEFAULT_BYTES)
    }
}

impl fmt::Debug for Memory {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Memory").field("max_bytes", &self.max_bytes).finish_non_exhaustive()
    }
}

impl CacheLayer for Memory {
    fn name(&self) -> &'static str {
        "memory"
    }

    fn source(&self) -> Source {
        Source::Memory
    }

    fn peek(&self, key: Lookup<'_>) -> Peek {
        match self.cache.get(&key.hash()) {
            Some(entry) if entry.is_for(key) => Peek::Hit(entry),
            _ => Peek::Miss,
        }
    }

    fn get<'a>(&'a self, key: &'a Key) -> BoxFuture<'a, Result<Option<Entry>>> {
        Box::pin(async move {
            Ok(match self.peek(key.lookup()) {
                Peek::Hit(entry) => Some(entry),
                Peek::Miss | Peek::Ask => None,
            })
        })
    }

    fn set<'a>(&'a self, key: &'a Key, entry: &'a Entry) -> BoxFuture<'a, Result<()>> {
        Box::pin(async move {
            self.cache.insert(key.lookup().hash(), entry.clone());
            Ok(())
        })
    }

    fn delete<'a>(&'a self, key: &'a Key) -> BoxFuture<'a, Result<()>> {
        Box::pin(async move {
            self.cache.invalidate(&key.lookup().hash());
            Ok(())
        })
    }

    fn clear(&self) -> BoxFuture<'_, Result<()>> {
        Box::pin(async move {
            // `invalidate_all` compares coarse times and would keep entries of the same instant.
            let keys: Vec<u64> = self.cache.iter().map(|entry| *entry.key()).collect();
            for key in keys {
                self.cache.invalidate(&key);
            }
            Ok(())
        })
    }

    fn visit(&self, each: &mut dyn FnMut(&Entry)) -> bool {
        for entry in &self.cache {
            each(entry.value());
        }
        true
    }

    fn usage(&self) -> LayerUsage {
        use mini_moka::sync::ConcurrentCacheExt;
        // Counts what was written so far; without it mini-moka is behind by a batch.
        self.cache.sync();
        LayerUsage::new(self.cache.entry_count(), self.cache.weighted_size())
    }
}
