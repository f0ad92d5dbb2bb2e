//! The names of values that are being read or loaded right now.
//!
//! A pattern ends what matches it: entries are found in the layers, but a load that is still running is in none. Its name
//! stands here from before its snapshot is taken until after its value is stored.

use std::collections::HashMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use foldhash::fast::RandomState;

use super::stamps::StampName;

const SHARDS: usize = 16;

type Names = HashMap<u64, StampName, RandomState>;

/// All names being read.
#[derive(Debug, Default)]
pub(crate) struct OpenNames {
    next: AtomicU64,
    shards: [Mutex<Names>; SHARDS],
}

/// Keeps a name among those being read until dropped.
#[derive(Debug)]
pub(crate) struct Open {
    names: Arc<OpenNames>,
    id: u64,
}

impl OpenNames {
    fn shard(&self, id: u64) -> MutexGuard<'_, Names> {
        let at = usize::try_from(id).unwrap_or(0) % SHARDS;
        self.shards[at].lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Adds a name.
    pub(crate) fn add(self: &Arc<Self>, name: &StampName) -> Open {
        let id = self.next.fetch_add(1, Ordering::Relaxed);
        self.shard(id).insert(id, name.clone());
        Open { names: Arc::clone(self), id }
    }

    /// The names for which `wanted` is true.
    pub(crate) fn filter(&self, wanted: impl Fn(&StampName) -> bool) -> Vec<StampName> {
        let shards = self.shards.iter().map(|shard| shard.lock().unwrap_or_else(PoisonError::into_inner));
        shards
            .flat_map(|names| names.values().filter(|name| wanted(name)).cloned().collect::<Vec<_>>())
            .collect()
    }
}

impl Drop for Open {
    fn drop(&mut self) {
        self.names.shard(self.id).remove(&self.id);
    }
}
