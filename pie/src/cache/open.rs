//! The names of values that are being read or loaded right now.
//!
//! A pattern ends what matches it: entries are found in the layers, but a load that is still running is in none. Its name
//! stands here from before its snapshot is taken until after its value is stored. Those of one call stand here together, until the
//! last of them is stored: a name that stands here for too long costs a bump of its version.

use std::collections::HashMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use foldhash::fast::RandomState;
use smallvec::SmallVec;

use super::stamps::StampName;

const SHARDS: usize = 16;

type Names = HashMap<u64, SmallVec<[StampName; 1]>, RandomState>;

/// All names being read.
#[derive(Debug, Default)]
pub(crate) struct OpenNames {
    next: AtomicU64,
    shards: [Mutex<Names>; SHARDS],
}

/// Keeps names among those being read until dropped.
#[derive(Debug)]
pub(crate) struct Open {
    names: Arc<OpenNames>,
    id: u64,
}

/// One name's place among those being read, or that of several.
#[derive(Debug)]
pub(crate) enum Opened {
    Alone(#[allow(dead_code, reason = "kept until dropped")] Open),
    Together(#[allow(dead_code, reason = "kept until dropped")] Arc<Open>),
}

impl OpenNames {
    fn shard(&self, id: u64) -> MutexGuard<'_, Names> {
        let at = usize::try_from(id).unwrap_or(0) % SHARDS;
        self.shards[at].lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Adds names.
    pub(crate) fn add<'n>(self: &Arc<Self>, names: impl IntoIterator<Item = &'n StampName>) -> Open {
        let id = self.next.fetch_add(1, Ordering::Relaxed);
        let names = names.into_iter().cloned().collect();
        self.shard(id).insert(id, names);
        Open { names: Arc::clone(self), id }
    }

    /// The names for which `wanted` is true.
    pub(crate) fn filter(&self, wanted: impl Fn(&StampName) -> bool) -> Vec<StampName> {
        let shards = self.shards.iter().map(|shard| shard.lock().unwrap_or_else(PoisonError::into_inner));
        shards
            .flat_map(|names| {
                names.values().flatten().filter(|name| wanted(name)).cloned().collect::<Vec<_>>()
            })
            .collect()
    }
}

impl Drop for Open {
    fn drop(&mut self) {
        // What is removed is dropped after the lock is.
        let _names = self.names.shard(self.id).remove(&self.id);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_of_one_call_are_found_until_the_last_of_them_is_stored() {
        let open = Arc::new(OpenNames::default());
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
