//! Keys, entries, the chain of layers and the stamps that keep it honest. Knows nothing of models and databases.

pub(crate) mod chain;
pub(crate) mod commits;
pub(crate) mod entry;
pub(crate) mod fence;
pub(crate) mod flights;
pub(crate) mod gate;
pub(crate) mod glob;
pub(crate) mod groups;
pub(crate) mod health;
pub(crate) mod inbox;
pub(crate) mod key;
pub(crate) mod latency;
pub(crate) mod layer;
pub(crate) mod manager;
pub(crate) mod manual;
pub(crate) mod names;
pub(crate) mod open;
#[cfg(feature = "metrics")]
pub(crate) mod publish;
pub(crate) mod read;
pub(crate) mod rules;
pub(crate) mod stamps;
pub(crate) mod stats;
pub(crate) mod tracker;

pub use entry::Entry;
pub use fence::{Fence, FenceBuilder};
pub use groups::{GroupKind, GroupStats, Holding};
pub use health::{BreakerState, Health, LayerHealth, NodeHealth, SharedHealth};
pub use inbox::Inbox;
pub use key::{Key, Lookup};
pub use latency::Latency;
pub use layer::{
    BoxFuture, CacheLayer, LayerUsage, Lock, Peek, SharedLayer, SharedRead, SharedReply, SharedWrite,
};
pub use manager::{Cache, Get, GetOrLoad, GetRequired, LayerHandle, Set};
pub use names::{Names, Tokens};
pub use stamps::StampName;
pub use stats::{CacheStats, LayerStats, MessageStats, Report};
