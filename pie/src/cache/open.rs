//! The names of values that are being read or loaded right now, and are not found with a [flight](super::flights).
//!
//! A pattern ends what matches it: entries are found in the layers, but a load that is still running is in none. Its name
//! stands here from before its snapshot is taken until after its value is stored, or while its flight has no place. Those of one call
//! stand here together, until the last of them is stored: a name that stands here for too long costs a bump of its version.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use slab::Slab;
use smallvec::SmallVec;

use super::stamps::StampName;

const SHARDS: usize = 32;

/// All names being read. Each part of them is counted by itself, so that threads that read at the same time seldom meet.
#[derive(Debug, Default)]
pub(crate) struct OpenNames {
    shards: [Arc<Shard>; SHARDS],
}

/// Some of the names: those of a call are together.
#[derive(Debug, Default)]
struct Shard(Mutex<Slab<SmallVec<[StampName; 1]>>>);

impl Shard {
    fn names(&self) -> MutexGuard<'_, Slab<SmallVec<[StampName; 1]>>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Keeps names among those being read until dropped.
#[derive(Debug)]
pub(crate) struct Open {
    shard: Arc<Shard>,
    place: usize,
}

/// One name's place among those being read, or that of several.
#[derive(Debug)]
pub(crate) enum Opened {
    /// Found with its flight, as long as that has not ended.
    InFlight,
    Alone(#[allow(dead_code, reason = "kept until dropped")] Open),
    Together(#[allow(dead_code, reason = "kept until dropped")] Arc<Open>),
}

impl OpenNames {
    /// Adds names.
    pub(crate) fn add<'n>(&self, names: impl IntoIterator<Item = &'n StampName>) -> Open {
        let names: SmallVec<[StampName; 1]> = names.into_iter().cloned().collect();
        let hash = names.first().map_or(0, StampName::wire_hash);
        // The high bits: others choose the places of versions.
        let shard = &self.shards[usize::try_from(hash >> 48).unwrap_or(0) % SHARDS];
        let place = shard.names().insert(names);
        Open { shard: Arc::clone(shard), place }
    }

    /// The names for which `wanted` is true.
    pub(crate) fn filter(&self, wanted: impl Fn(&StampName) -> bool) -> Vec<StampName> {
        let of_shard = |shard: &Arc<Shard>| -> Vec<StampName> {
            let names = shard.names();
            names.iter().flat_map(|(_, names)| names).filter(|name| wanted(name)).cloned().collect()
        };
        self.shards.iter().flat_map(of_shard).collect()
    }
}

impl Drop for Open {
    fn drop(&mut self) {
        // What is removed is dropped after the lock is.
        let _names = self.shard.names().try_remove(self.place);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_of_one_call_are_found_until_the_last_of_them_is_stored() {
        let open = OpenNames::default();
        let names = ["k:user:1", "k:user:2", "k:post:1"].map(|name| StampName::new("pie:", name));
        let found = || {
            let mut found = open.filter(|name| name.as_str().contains(":user:"));
            found.sort();
            found
        };
        let together = Arc::new(open.add(&names));
        let (one, other) = (Opened::Together(Arc::clone(&together)), Opened::Together(Arc::clone(&together)));
        drop(together);
        assert_eq!(found(), names[..2]);
        drop(one);
        assert_eq!(found(), names[..2]);
        drop(other);
        assert_eq!(found(), []);
    }
}
