//! In front of mini-moka: a table by hash, in which a hit is found without asking it.
//!
//! mini-moka admits and evicts, and is slow to be asked. The table has a place for each hash, overwritten by whatever
//! comes there last, and a second one beside it. What mini-moka holds it holds as a [`Held`], and when the last one of an entry is dropped the entry
//! leaves the table as well: nothing that was evicted is kept. What is found here is checked like any other entry (its key, its
//! versions, its deadline), so that a wrong place costs a miss and nothing else.
//!
//! A reader borrows the entry from its place (`arc_swap`'s debts), which no other reader of the same entry waits for.

use std::sync::Arc;

use arc_swap::{ArcSwapOption, Guard};

use crate::cache::entry::Inner;
use crate::cache::{Entry, Lookup};

/// An entry that is looked at where it is.
pub(super) type Borrowed = Guard<Option<Arc<Inner>>>;

/// The table.
pub(super) struct Front(Box<[ArcSwapOption<Inner>]>);

impl Front {
    /// A place for each 256 bytes of the budget: entries take twice that and more, so that most have a place of their own. A place is
    /// 8 bytes, so that these are 3 % of it.
    const BYTES_PER_PLACE: u64 = 256;
    const FEWEST: u64 = 1 << 8;
    const MOST: u64 = 1 << 23;

    pub(super) fn for_bytes(max_bytes: u64) -> Self {
        let wanted = (max_bytes / Self::BYTES_PER_PLACE).clamp(Self::FEWEST, Self::MOST);
        let places = wanted.next_power_of_two().min(Self::MOST);
        Self((0..places).map(|_| ArcSwapOption::empty()).collect())
    }

    /// The place of a hash, and the one that it has when the first is taken: side by side, in one line of the processor's cache.
    fn places(&self, hash: u64) -> [Option<&ArcSwapOption<Inner>>; 2] {
        // Their number is a power of two.
        let mask = self.0.len() as u64 - 1;
        [hash, hash ^ 1].map(|hash| self.0.get(usize::try_from(hash & mask).unwrap_or(0)))
    }

    /// The entry of this key where it is, borrowed.
    #[inline(always)]
    pub(super) fn see(&self, key: Lookup<'_>) -> Option<Borrowed> {
        let [Some(first), Some(second)] = self.places(key.hash) else { return None };
        let is = |there: &Option<Arc<Inner>>| there.as_ref().is_some_and(|entry| entry.is_for(key));
        let there = first.load();
        if is(&there) {
            return Some(there);
        }
        let there = second.load();
        is(&there).then_some(there)
    }

    /// Puts an entry at a place of its hash: where the hash is already, else where nothing is, else at the second.
    pub(super) fn put(&self, entry: &Entry) {
        let hash = entry.inner().hash();
        let [Some(first), Some(second)] = self.places(hash) else { return };
        let of = |place: &ArcSwapOption<Inner>| place.load().as_ref().map(|there| there.hash());
        let to = match (of(first), of(second)) {
            (Some(there), _) if there == hash => first,
            (_, Some(there)) if there == hash => second,
            (None, _) => first,
            _ => second,
        };
        to.store(Some(Arc::clone(entry.inner())));
    }

    /// Takes the entry of this hash away.
    pub(super) fn clear(&self, hash: u64) {
        self.take(|there| there.hash() == hash, hash);
    }

    /// Takes an entry away, if it is still there.
    fn forget(&self, entry: &Inner) {
        self.take(|there| std::ptr::eq(there, entry), entry.hash());
    }

    fn take(&self, which: impl Fn(&Inner) -> bool, hash: u64) {
        for place in self.places(hash).into_iter().flatten() {
            let there = place.load();
            if there.as_deref().is_some_and(&which) {
                place.compare_and_swap(&there, None);
            }
        }
    }
}

/// An entry as mini-moka holds it: when the last one is dropped, the entry leaves the table.
pub(super) struct Held {
    entry: Entry,
    front: Arc<Front>,
}

impl Held {
    pub(super) fn new(entry: Entry, front: &Arc<Front>) -> Self {
        entry.inner().hold();
        Self { entry, front: Arc::clone(front) }
    }

    pub(super) fn entry(&self) -> &Entry {
        &self.entry
    }
}

impl Clone for Held {
    fn clone(&self) -> Self {
        Self::new(self.entry.clone(), &self.front)
    }
}

impl Drop for Held {
    fn drop(&mut self) {
        if self.entry.inner().let_go() {
            self.front.forget(self.entry.inner());
        }
    }
}
