//! In front of mini-moka: a table of references by hash, in which a hit is found without asking it.
//!
//! mini-moka admits and evicts, and is slow to be asked. The table has one place for each hash, overwritten by whatever comes there last, and
//! keeps nothing alive: an entry that mini-moka evicts is gone from here as well, unless a program still holds its value. What is found
//! here is checked like any other entry (its key, its versions, its deadline), so that a wrong place costs a miss and nothing else.

use arc_swap::ArcSwapWeak;

use crate::cache::Entry;
use crate::cache::entry::Inner;

/// The table.
pub(super) struct Front(Box<[ArcSwapWeak<Inner>]>);

impl Front {
    /// A place for each 512 bytes of the budget: most entries take more. A place is 8 bytes, so that these are 1.6 % of it.
    const BYTES_PER_PLACE: u64 = 512;
    const FEWEST: u64 = 1 << 8;
    const MOST: u64 = 1 << 20;

    pub(super) fn for_bytes(max_bytes: u64) -> Self {
        let wanted = (max_bytes / Self::BYTES_PER_PLACE).clamp(Self::FEWEST, Self::MOST);
        let places = wanted.next_power_of_two().min(Self::MOST);
        Self((0..places).map(|_| ArcSwapWeak::default()).collect())
    }

    fn place(&self, hash: u64) -> Option<&ArcSwapWeak<Inner>> {
        // Their number is a power of two.
        let mask = self.0.len() as u64 - 1;
        self.0.get(usize::try_from(hash & mask).unwrap_or(0))
    }

    /// What is at the place of this hash, whatever its key.
    pub(super) fn get(&self, hash: u64) -> Option<Entry> {
        Entry::upgrade(&self.place(hash)?.load())
    }

    /// Puts an entry at the place of its hash.
    pub(super) fn put(&self, hash: u64, entry: &Entry) {
        if let Some(place) = self.place(hash) {
            place.store(entry.downgrade());
        }
    }

    /// Empties the place of this hash.
    pub(super) fn clear(&self, hash: u64) {
        if let Some(place) = self.place(hash) {
            place.store(std::sync::Weak::new());
        }
    }
}
