//! In front of mini-moka: a table by hash, in which a hit is found without asking it.
//!
//! mini-moka admits and evicts, and is slow to be asked. The table has one place for each hash, overwritten by whatever
//! comes there last. What mini-moka holds it holds as a [`Held`], and when the last one of an entry is dropped the entry
//! leaves the table as well: nothing that was evicted is kept. What is found here is checked like any other entry (its key, its
//! versions, its deadline), so that a wrong place costs a miss and nothing else.
//!
//! A reader borrows the entry from its place (`arc_swap`'s debts), which no other reader of the same entry waits for.

use std::sync::Arc;

use arc_swap::ArcSwapOption;

use crate::cache::Entry;
use crate::cache::entry::Inner;

/// The table.
pub(super) struct Front(Box<[ArcSwapOption<Inner>]>);

impl Front {
    /// A place for each 512 bytes of the budget: most entries take more. A place is 8 bytes, so that these are 1.6 % of it.
    const BYTES_PER_PLACE: u64 = 512;
    const FEWEST: u64 = 1 << 8;
    const MOST: u64 = 1 << 21;

    pub(super) fn for_bytes(max_bytes: u64) -> Self {
        let wanted = (max_bytes / Self::BYTES_PER_PLACE).clamp(Self::FEWEST, Self::MOST);
        let places = wanted.next_power_of_two().min(Self::MOST);
        Self((0..places).map(|_| ArcSwapOption::empty()).collect())
    }

    fn place(&self, hash: u64) -> Option<&ArcSwapOption<Inner>> {
        // Their number is a power of two.
        let mask = self.0.len() as u64 - 1;
        self.0.get(usize::try_from(hash & mask).unwrap_or(0))
    }

    /// Looks at what is at the place of this hash, whatever its key.
    #[inline]
    pub(super) fn see<R>(&self, hash: u64, look: impl FnOnce(&Arc<Inner>) -> Option<R>) -> Option<R> {
        look(self.place(hash)?.load().as_ref()?)
    }

    /// Puts an entry at the place of its hash.
    pub(super) fn put(&self, entry: &Entry) {
        if let Some(place) = self.place(entry.inner().hash()) {
            place.store(Some(Arc::clone(entry.inner())));
        }
    }

    /// Empties the place of this hash.
    pub(super) fn clear(&self, hash: u64) {
        if let Some(place) = self.place(hash) {
            place.store(None);
        }
    }

    /// Empties the place of an entry, if it is still there.
    fn forget(&self, entry: &Inner) {
        if let Some(place) = self.place(entry.hash()) {
            let there = place.load();
            if there.as_deref().is_some_and(|there| std::ptr::eq(there, entry)) {
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
