//! L1: typed entries in mini-moka, kept as they are, nothing decoded on a hit, and found in the table in front of it.
//!
//! mini-moka admits and evicts (TinyLFU, weighted by bytes). It has one time to live for a whole cache and cannot look a
//! `String` key up by `&str`, so deadlines are ours and are checked on each hit, and its key is a 64-bit hash, seeded anew
//! for each engine, with the full key compared in the entry: a collision costs a miss, never a wrong answer.

use std::fmt;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use arc_swap::Guard;
use mini_moka::sync::{Cache, ConcurrentCacheExt};
use serde::Deserialize;

use super::front::{Borrowed, Front, Held};
use crate::cache::entry::Inner;
use crate::cache::key::AsIs;
use crate::cache::{BoxFuture, CacheLayer, Entry, Key, LayerUsage, Lookup, Peek};
use crate::error::{Error, ErrorKind, Result};
use crate::human;
use crate::query::Source;

/// How the memory layer is set up.
///
/// mini-moka chooses the sizes of its frequency sketch and of its buffers by itself, from the number of entries.
///
/// # Examples
///
/// ```
/// use pie::{Memory, MemoryConfig};
///
/// let memory = Memory::new(MemoryConfig { max_bytes: 100 << 20, initial_capacity: 10_000 })?;
/// # let _ = memory;
/// # Ok::<(), pie::Error>(())
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct MemoryConfig {
    /// How many bytes the entries take together; 64 MiB by default.
    #[serde(deserialize_with = "human::size")]
    pub max_bytes: u64,
    /// For how many entries room is made at the start; 0 by default, and never a limit.
    pub initial_capacity: usize,
}

impl Default for MemoryConfig {
    fn default() -> Self {
        Self { max_bytes: Memory::DEFAULT_BYTES, initial_capacity: 0 }
    }
}

impl MemoryConfig {
    fn check(&self) -> Result<()> {
        if self.max_bytes == 0 {
            return Err(Error::new(
                ErrorKind::InvalidConfig,
                "a memory layer of 0 bytes: write a size such as 64 MiB, or leave the layer away",
            ));
        }
        Ok(())
    }
}

const SHARDS: usize = 64;

/// How many of 256 hits in front mini-moka is told of: while there is room, and when it has to choose what stays.
const TOLD_OF_256: [u64; 2] = [1, 64];

/// How many of an entry's first hits it is told of when it has to choose: its sketch counts to 15, and who is asked for seldom
/// is who is chosen from.
const FIRST_TOLD: u8 = 15;

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
    cache: Cache<u64, Held, AsIs>,
    front: Arc<Front>,
    /// Whether three quarters of the budget are used.
    fills: AtomicBool,
    /// The bytes of entries that may wait in mini-moka's queues, which keep them alive also when they were evicted or replaced.
    waiting: AtomicU64,
    config: MemoryConfig,
    /// mini-moka tells nobody what it evicts. What it holds is what was put in, less what was taken out, less that: so who
    /// puts in and takes out counts, one at a time for each key.
    puts: [Mutex<()>; SHARDS],
    put_in: AtomicU64,
    taken_out: AtomicU64,
}

impl Memory {
    /// Which part of the budget may wait in mini-moka's queues.
    const WAITING_PART: u64 = 32;

    /// The byte budget of [`Memory::default`]: 64 MiB.
    pub const DEFAULT_BYTES: u64 = 64 << 20;

    /// A memory layer with these settings.
    ///
    /// # Errors
    /// [`ErrorKind::InvalidConfig`] for 0 bytes.
    pub fn new(config: MemoryConfig) -> Result<Self> {
        config.check()?;
        Ok(Self::with(config))
    }

    /// A memory layer that holds entries of about this many bytes together: values with what they own on the heap, keys
    /// and bookkeeping. mini-moka evicts in batches, so the sum is exceeded for moments; the table in front of it takes 3 % on top. 0 bytes are an error when the engine
    /// is built.
    #[must_use]
    pub fn max_bytes(bytes: u64) -> Self {
        Self::with(MemoryConfig { max_bytes: bytes, ..MemoryConfig::default() })
    }

    fn with(config: MemoryConfig) -> Self {
        let cache = Cache::builder()
            .max_capacity(config.max_bytes)
            .initial_capacity(config.initial_capacity)
            .weigher(|_, held: &Held| held.entry().weight())
            .build_with_hasher(AsIs::default());
        Self {
            cache,
            front: Arc::new(Front::for_bytes(config.max_bytes)),
            fills: AtomicBool::new(false),
            waiting: AtomicU64::new(0),
            config,
            puts: std::array::from_fn(|_| Mutex::new(())),
            put_in: AtomicU64::new(0),
            taken_out: AtomicU64::new(0),
        }
    }

    fn shard(&self, hash: u64) -> &Mutex<()> {
        // The high bits: mini-moka picks its own shards by others.
        &self.puts[usize::try_from(hash >> 58).unwrap_or(0) % SHARDS]
    }

    fn alone(&self, hash: u64) -> MutexGuard<'_, ()> {
        self.shard(hash).lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(crate) fn put(&self, hash: u64, entry: Entry) {
        let _alone = self.alone(hash);
        // Where mini-moka has to choose, counted as a question, so that a value which is asked for again and again is admitted some day.
        let replaces = match self.fills.load(Ordering::Relaxed) {
            true => self.cache.get(&hash).is_some(),
            false => self.cache.contains_key(&hash),
        };
        let weight = entry.weight();
        let held = Held::new(entry, &self.front);
        self.front.put(held.entry());
        self.cache.insert(hash, held);
        self.queued(weight);
        let fills = self.cache.weighted_size() >= self.config.max_bytes / 4 * 3;
        if fills != self.fills.load(Ordering::Relaxed) {
            self.fills.store(fills, Ordering::Relaxed);
        }
        if !replaces {
            self.put_in.fetch_add(1, Ordering::Relaxed);
        }
    }

    /// Notes that mini-moka has queued an entry of this weight. It tidies up by the number of what waits, and large entries are many
    /// bytes before they are many: so it is made to when a thirty-second of the budget waits.
    fn queued(&self, weight: u32) {
        let weight = u64::from(weight);
        if self.waiting.fetch_add(weight, Ordering::Relaxed) + weight
            > self.config.max_bytes / Self::WAITING_PART
        {
            self.tidy();
        }
    }

    /// Has mini-moka work off what waits, and let go of it.
    fn tidy(&self) {
        self.waiting.store(0, Ordering::Relaxed);
        self.cache.sync();
    }

    /// Puts what mini-moka holds into the table in front, unless somebody is putting or taking there: what is in front is never older than
    /// what is behind.
    fn bring_forward(&self, hash: u64) {
        if let Ok(_alone) = self.shard(hash).try_lock()
            && let Some(held) = self.cache.get(&hash)
        {
            self.front.put(held.entry());
        }
    }

    /// Tells mini-moka of a hit that it did not see, or of one in some; `count` is any number that grows from hit to hit.
    #[inline]
    pub(crate) fn tell(&self, entry: &Inner, count: u64) {
        // Spread by the golden ratio, so that no rhythm of the program picks always the same.
        let drawn = count.wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 56;
        let fills = self.fills.load(Ordering::Relaxed);
        if drawn < TOLD_OF_256[usize::from(fills)] || (fills && entry.is_new(FIRST_TOLD)) {
            self.told(entry);
        }
    }

    #[cold]
    fn told(&self, entry: &Inner) {
        if self.cache.get(&entry.hash()).is_some() {
            self.queued(entry.weight());
        }
    }

    /// The entry of a key, if there is one. Neither waits nor allocates.
    #[inline(always)]
    pub(crate) fn see(&self, key: Lookup<'_>) -> Option<Sight> {
        match self.front.see(key) {
            Some(borrowed) => Some(Sight(borrowed)),
            None => self.see_behind(key).map(Sight::of),
        }
    }

    /// What mini-moka has for a key, and the table in front of it has not.
    #[cold]
    fn see_behind(&self, key: Lookup<'_>) -> Option<Entry> {
        // A miss is not told: what is loaded then is put in, and counts as asked for there.
        if !self.cache.contains_key(&key.hash) {
            return None;
        }
        let held = self.cache.get(&key.hash)?;
        let entry = held.entry();
        if !entry.is_for(key) {
            return None;
        }
        self.bring_forward(key.hash);
        self.queued(entry.weight());
        Some(entry.clone())
    }

    /// Takes an entry out, and lets go of it.
    fn take(&self, hash: u64) {
        if self.take_one(hash) {
            self.tidy();
        }
    }

    /// Whether there was an entry, which mini-moka keeps until it tidies up.
    fn take_one(&self, hash: u64) -> bool {
        let _alone = self.alone(hash);
        self.front.clear(hash);
        let is_there = self.cache.contains_key(&hash);
        if is_there {
            self.cache.invalidate(&hash);
            self.taken_out.fetch_add(1, Ordering::Relaxed);
        }
        is_there
    }

    fn take_all(&self, which: impl Fn(&Entry) -> bool) {
        let hashes: Vec<u64> =
            self.cache.iter().filter(|held| which(held.value().entry())).map(|held| *held.key()).collect();
        for hash in hashes {
            self.take_one(hash);
        }
        self.tidy();
    }
}

/// A [`Sight`] or none: what is returned in two registers, where an `Option` would go through memory.
pub(crate) struct Look(Borrowed);

impl Look {
    pub(crate) fn none() -> Self {
        Self(Guard::from_inner(None))
    }

    #[inline(always)]
    pub(crate) fn of(sight: Sight) -> Self {
        Self(sight.0)
    }

    #[inline(always)]
    pub(crate) fn seen(self) -> Option<Sight> {
        if self.0.is_some() { Some(Sight(self.0)) } else { None }
    }
}

/// An entry that is looked at where it is: borrowed from the table in front, which counts nothing, or a share of it.
///
/// It keeps the entry, also when the table has another by now; then whoever put that there gave it a share.
pub(crate) struct Sight(Borrowed);

impl Sight {
    /// A share of an entry.
    pub(crate) fn of(entry: Entry) -> Self {
        Self(Guard::from_inner(Some(entry.into_inner())))
    }

    #[inline]
    pub(crate) fn entry(&self) -> &Arc<Inner> {
        match self.0.as_ref() {
            Some(entry) => entry,
            None => unreachable!("a place with nothing in it is no sight"),
        }
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
        f.debug_struct("Memory").field("config", &self.config).finish_non_exhaustive()
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
        match self.see(key) {
            Some(sight) => {
                self.tell(sight.entry(), fastrand::u64(..));
                Peek::Hit(Entry::of(sight.entry()))
            }
            None => Peek::Miss,
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
            self.put(key.lookup().hash(), entry.clone());
            Ok(())
        })
    }

    fn delete<'a>(&'a self, key: &'a Key) -> BoxFuture<'a, Result<()>> {
        Box::pin(async move {
            self.take(key.lookup().hash());
            Ok(())
        })
    }

    fn clear(&self) -> BoxFuture<'_, Result<()>> {
        Box::pin(async move {
            // `invalidate_all` compares coarse times and would keep entries of the same instant.
            self.take_all(|_| true);
            Ok(())
        })
    }

    fn visit(&self, each: &mut dyn FnMut(&Entry)) -> bool {
        for held in &self.cache {
            each(held.value().entry());
        }
        true
    }

    fn expire(&self, now: u64) {
        self.take_all(|entry| entry.keep_until() <= now);
    }

    fn usage(&self) -> LayerUsage {
        // Nothing is put in or taken out meanwhile; and what was so far is counted, where mini-moka is behind by a batch.
        let _alone: Vec<_> =
            self.puts.iter().map(|lock| lock.lock().unwrap_or_else(PoisonError::into_inner)).collect();
        self.cache.sync();
        let held = self.cache.entry_count();
        let gone = self.taken_out.load(Ordering::Relaxed) + held;
        let evicted = self.put_in.load(Ordering::Relaxed).saturating_sub(gone);
        LayerUsage::new(held, self.cache.weighted_size()).evicted(evicted)
    }

    fn check(&self) -> Result<()> {
        self.config.check()
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;
    use crate::cache::entry::Times;
    use crate::cache::groups::MANUAL;
    use crate::cache::key::{KeyKind, head};
    use crate::cache::manual;
    use crate::cache::stamps::Snapshot;

    /// A key whose hash is well spread.
    fn key(number: u64) -> Key {
        let full = head(&MANUAL, KeyKind::Manual, (0, 0), number);
        let lookup = Lookup { full: &full, hash: crate::model::fingerprint::mix(7, number) };
        Key::new(lookup, "", &format!("k:{number}"), 0)
    }

    fn entry(key: &Key, loaded_at: u64) -> Entry {
        let times = Times { loaded_at, deadline: u64::MAX, keep_until: u64::MAX };
        let payload = manual::payload(bytes::Bytes::from_static(b"1"), Arc::from([]));
        Entry::new(key, payload, 16, times, &Snapshot::default())
    }

    fn peek(memory: &Memory, key: &Key) -> Option<u64> {
        match memory.peek(key.lookup()) {
            Peek::Hit(entry) => Some(entry.loaded_at()),
            Peek::Miss | Peek::Ask => None,
        }
    }

    #[test]
    fn what_is_evicted_is_not_found_in_front_either() {
        let memory = Memory::max_bytes(256 << 10);
        let keys: Vec<Key> = (0..5_000).map(key).collect();
        for key in &keys {
            memory.put(key.lookup().hash(), entry(key, 1));
            peek(&memory, key);
        }
        let held = memory.usage().entries.unwrap_or_default();
        let found = keys.iter().filter(|key| peek(&memory, key).is_some()).count() as u64;
        assert!(held < 1_000, "there is room for few: {held}");
        assert_eq!(found, held);
    }

    #[test]
    fn what_is_evicted_is_freed() {
        let memory = Memory::max_bytes(256 << 10);
        let mut values = Vec::new();
        for key in (0..5_000).map(key) {
            let entry = entry(&key, 1);
            values.push(Arc::downgrade(entry.value()));
            memory.put(key.lookup().hash(), entry);
            peek(&memory, &key);
        }
        let held = memory.usage().entries.unwrap_or_default();
        let alive = values.iter().filter(|value| value.strong_count() > 0).count() as u64;
        assert!((1..1_000).contains(&held), "there is room for few: {held}");
        assert_eq!(alive, held);
    }

    #[test]
    fn what_is_taken_out_is_freed_at_once() {
        let memory = Memory::default();
        let last: Vec<_> = (0..3)
            .map(key)
            .map(|key| {
                let entry = entry(&key, 1);
                let value = Arc::downgrade(entry.value());
                memory.put(key.lookup().hash(), entry);
                (key, value)
            })
            .collect();
        memory.take(last[0].0.lookup().hash());
        assert!(last[0].1.upgrade().is_none(), "taken by its key");
        // Nothing comes after the last one that would have mini-moka tidy up.
        memory.take_all(|_| true);
        assert!(last.iter().all(|(_, value)| value.upgrade().is_none()), "taken with all");
    }

    #[test]
    fn the_budget_is_kept_also_by_few_large_entries_after_a_pause() {
        const LARGE: usize = 64 << 10;
        let memory = Memory::max_bytes(1 << 20);
        let mut values = Vec::new();
        for number in 0..100 {
            if number == 20 {
                // mini-moka has its own clock, and tidies up by the number of what waits when it did nothing for half a second.
                let paused = std::time::Instant::now();
                while paused.elapsed() < std::time::Duration::from_millis(600) {
                    std::thread::yield_now();
                }
            }
            let key = key(number);
            let times = Times { loaded_at: 1, deadline: u64::MAX, keep_until: u64::MAX };
            let payload = manual::payload(bytes::Bytes::from(vec![b'1'; LARGE]), Arc::from([]));
            let entry = Entry::new(&key, payload, LARGE, times, &Snapshot::default());
            values.push(Arc::downgrade(entry.value()));
            memory.put(key.lookup().hash(), entry);
            peek(&memory, &key);
            let alive = values.iter().filter(|value| value.strong_count() > 0).count();
            assert!(alive * LARGE <= (1 << 20) + LARGE, "{alive} of {LARGE} bytes after {number}");
        }
    }

    #[test]
    fn what_is_taken_out_is_not_found_also_while_somebody_holds_it() {
        let memory = Memory::default();
        let one = key(1);
        memory.put(one.lookup().hash(), entry(&one, 1));
        let Peek::Hit(held) = memory.peek(one.lookup()) else { panic!("it is there") };
        memory.take(one.lookup().hash());
        assert_eq!(peek(&memory, &one), None);
        memory.put(one.lookup().hash(), entry(&one, 2));
        assert_eq!((peek(&memory, &one), held.loaded_at()), (Some(2), 1));
    }

    #[test]
    fn keys_of_one_place_are_both_found() {
        let memory = Memory::max_bytes(1 << 20);
        // The table has as many places as 21 bits tell apart at most.
        let keys = [1_u64, 1 | 1 << 40].map(|hash| {
            let full = head(&MANUAL, KeyKind::Manual, (0, 0), hash);
            Key::new(Lookup { full: &full, hash }, "", &hash.to_string(), 0)
        });
        for (at, key) in (1..).zip(&keys) {
            memory.put(key.lookup().hash(), entry(key, at));
        }
        for _ in 0..3 {
            assert_eq!(keys.each_ref().map(|key| peek(&memory, key)), [Some(1), Some(2)]);
        }
    }

    #[test]
    fn whoever_asks_after_a_put_never_finds_what_was_there_before() {
        // Few places, so that what is behind comes forward all the time.
        let memory = Memory::max_bytes(1 << 20);
        let (keys, done) = ((0..600).map(key).collect::<Vec<_>>(), AtomicBool::new(false));
        let newest: Vec<AtomicU64> = keys.iter().map(|_| AtomicU64::new(0)).collect();
        std::thread::scope(|scope| {
            for reader in 0..3 {
                let (memory, keys, newest, done) = (&memory, &keys, &newest, &done);
                scope.spawn(move || {
                    let mut at = reader;
                    while !done.load(Ordering::Relaxed) {
                        at = (at * 31 + 7) % keys.len();
                        let before = newest[at].load(Ordering::SeqCst);
                        if let Some(found) = peek(memory, &keys[at]) {
                            assert!(found >= before, "{found} after {before}");
                        }
                    }
                });
            }
            for round in 1..300 {
                for (at, key) in keys.iter().enumerate() {
                    memory.put(key.lookup().hash(), entry(key, round));
                    newest[at].store(round, Ordering::SeqCst);
                }
            }
            done.store(true, Ordering::Relaxed);
        });
    }
}
