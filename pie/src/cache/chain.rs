//! The layers of an engine and what holds for all of them: validity, versions, set-up, statistics. Asking (`walk`), storing
//! (`store`), ending (`invalidate`) and the lock of a load (`lock`) are rooms of their own.
//!
//! The order of steps is what keeps stale values out (section 5 of the design): local versions and shared tokens are read
//! *before* a load begins; an entry is stored under those; an invalidation removes the tokens first and counts the local
//! versions up last. Every future here is safe to drop at any await.

mod invalidate;
mod lock;
mod store;
mod walk;

use std::fmt;
use std::panic::AssertUnwindSafe;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

use futures_util::FutureExt;

pub(crate) use lock::{Locked, Locking};

use super::entry::{Entry, Payload, ValueCodec};
use super::flights::Flights;
use super::inbox::Inbox;
use super::key::{Key, Lookup};
use super::layer::{BoxFuture, CacheLayer, Peek, SharedLayer};
use super::open::{Open, OpenNames};
use super::rules::{Limits, Rules};
use super::stamps::{Snapshot, StampName, Stamps};
use super::stats::{CacheStats, Counters, LayerCounters, LayerStats, MessageCounters, MessageStats};
use super::tracker::Tracker;
use crate::clock::Clock;
use crate::codec::Token;
use crate::error::Result;
use crate::query::Source;

/// One value to look up.
#[derive(Debug)]
pub(crate) struct Item {
    pub(crate) key: Key,
    /// What it depends on; the key's own name first.
    pub(crate) names: Vec<StampName>,
    pub(crate) limits: Limits,
    pub(crate) codec: &'static ValueCodec,
}

impl Item {
    /// The name of the key itself.
    pub(crate) fn name(&self) -> &StampName {
        // An item is made with its own name first.
        &self.names[0]
    }
}

/// The shared tokens before a load, for each layer; `None` for in-process layers and for shared ones that did not answer.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Tokens {
    layers: Vec<Option<Vec<Token>>>,
    /// How many shared layers did not answer.
    unknown: usize,
}

impl Tokens {
    /// Whether both are known, and the same.
    pub(crate) fn same(&self, other: &Self) -> bool {
        self.unknown == 0 && self == other
    }
}

/// The versions before a load: what its result is stored under.
#[derive(Debug)]
pub(crate) struct Ticket {
    pub(crate) snapshot: Snapshot,
    pub(crate) tokens: Tokens,
    /// Patterns find the load by this until its result is stored.
    _open: Open,
}

/// An entry, and who had it.
#[derive(Debug, Clone)]
pub(crate) struct Found {
    pub(crate) entry: Entry,
    pub(crate) source: Source,
    /// The steady clock when it was found.
    pub(crate) now: u64,
    /// Whether it is past its time to live.
    pub(crate) stale: bool,
}

/// The answer of a read.
#[derive(Debug, Clone)]
pub(crate) enum Got {
    /// A layer had it.
    Found(Found),
    /// It was loaded.
    Loaded(Payload),
}

/// What the first layer said at once.
pub(crate) enum Peeked {
    Hit(Found),
    /// Served, and it is up to the caller to have it loaded anew: the entry is claimed for it.
    Aging(Found),
    /// The first layer does not have it.
    Miss,
}

/// How many values go to a shared layer in one call.
const MAX_BATCH: usize = 1_000;

/// Which layers to ask.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Which {
    All,
    /// Only shared ones; what they have is written to those in this process.
    Below,
    /// Only shared ones: those in this process may not answer, and learn nothing.
    Shared,
    /// Only shared ones, and not for the value, but for the tokens.
    Tokens,
}

struct Level {
    layer: Arc<dyn CacheLayer>,
    counters: LayerCounters,
}

/// All layers of an engine, in order.
pub(crate) struct Chain {
    levels: Vec<Level>,
    pub(crate) stamps: Stamps,
    pub(crate) clock: Clock,
    pub(crate) counters: Counters,
    pub(crate) messages: MessageCounters,
    pub(crate) tasks: Tracker,
    pub(crate) flights: Arc<Flights>,
    open: Arc<OpenNames>,
    /// The greatest payload that is stored, in bytes.
    pub(crate) max_entry: usize,
    oversized_said: AtomicBool,
    /// Layers whose messages do not arrive.
    detached: AtomicUsize,
    bypass_detached: bool,
}

impl fmt::Debug for Chain {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list().entries(self.levels.iter().map(|level| level.layer.name())).finish()
    }
}

/// How a chain is set up.
#[derive(Debug, Clone, Copy)]
pub(crate) struct ChainConfig {
    /// The greatest payload that is stored, in bytes.
    pub(crate) max_entry: usize,
    /// Whether layers in this process do not answer while messages do not arrive.
    pub(crate) bypass_detached: bool,
    /// How many slots of local versions there are, as a power of two.
    pub(crate) bits: u32,
}

impl Default for ChainConfig {
    fn default() -> Self {
        Self { max_entry: usize::MAX, bypass_detached: false, bits: Stamps::DEFAULT_BITS }
    }
}

impl Chain {
    pub(crate) fn new(layers: Vec<Arc<dyn CacheLayer>>, clock: Clock, config: ChainConfig) -> Arc<Self> {
        let levels =
            layers.into_iter().map(|layer| Level { layer, counters: LayerCounters::default() }).collect();
        let chain = Arc::new(Self {
            levels,
            stamps: Stamps::with_bits(config.bits),
            clock,
            counters: Counters::default(),
            messages: MessageCounters::default(),
            tasks: Tracker::default(),
            flights: Arc::default(),
            open: Arc::default(),
            max_entry: config.max_entry,
            oversized_said: AtomicBool::new(false),
            detached: AtomicUsize::new(0),
            bypass_detached: config.bypass_detached,
        });
        for shared in chain.shared() {
            // Before it listens: it may be attached before it returns.
            chain.detach();
            if !shared.listen(Inbox::new(&chain)) {
                chain.attach();
            }
        }
        chain
    }

    fn shared(&self) -> impl Iterator<Item = &dyn SharedLayer> {
        self.levels.iter().filter_map(|level| level.layer.shared())
    }

    pub(crate) fn detach(&self) {
        self.detached.fetch_add(1, Ordering::AcqRel);
    }

    pub(crate) fn attach(&self) {
        self.detached.fetch_sub(1, Ordering::AcqRel);
    }

    /// Whether messages of other processes arrive.
    pub(crate) fn is_attached(&self) -> bool {
        self.detached.load(Ordering::Acquire) == 0
    }

    /// Whether layers in this process may answer.
    pub(crate) fn trusts_memory(&self) -> bool {
        !self.bypass_detached || self.is_attached()
    }

    /// Whether nothing that the entry depends on was invalidated since it was loaded, and it is the key's.
    fn holds(&self, entry: &Entry, key: Lookup<'_>) -> bool {
        entry.is_for(key) && self.stamps.holds(entry.snapshot())
    }

    /// Whether an entry may be served as it is.
    fn fresh(entry: &Entry, limits: Limits, now: u64) -> bool {
        now < entry.deadline() && now.saturating_sub(entry.loaded_at()) < limits.fresh(entry.is_empty())
    }

    /// Whether an entry past its time may still be served, `window` milliseconds after it at most.
    fn stale_within(entry: &Entry, limits: Limits, now: u64, window: u64) -> bool {
        let age = now.saturating_sub(entry.loaded_at());
        let end = entry.deadline().min(entry.loaded_at().saturating_add(limits.fresh(entry.is_empty())));
        age < limits.last(entry.is_empty()) && now < end.saturating_add(window)
    }

    /// Whether a value past its time may be served while it is loaded anew.
    pub(crate) fn servable(found: &Found, limits: Limits) -> bool {
        Self::stale_within(&found.entry, limits, found.now, limits.stale)
    }

    /// Whether a value past its time may be served because loading failed; asked when it did.
    pub(crate) fn excusable(&self, found: &Found, item: &Item) -> bool {
        let now = self.clock.steady();
        Self::stale_within(&found.entry, item.limits, now, item.limits.window())
            && (self.holds(&found.entry, item.key.lookup()) || mistake!(StaleAcrossBump))
    }

    /// Whether a reader with these limits may have an answer that another reader found.
    pub(crate) fn suits(&self, found: &Found, item: &Item) -> bool {
        let now = self.clock.steady();
        Self::fresh(&found.entry, item.limits, now)
            || (found.stale && Self::stale_within(&found.entry, item.limits, now, item.limits.window()))
    }

    /// Whether an entry has passed this part of its time, in thousandths.
    fn aging(entry: &Entry, ahead: Option<u16>, now: u64) -> bool {
        ahead.is_some_and(|ahead| {
            let (age, life) =
                (now.saturating_sub(entry.loaded_at()), entry.deadline().saturating_sub(entry.loaded_at()));
            age.saturating_mul(1_000) >= life.saturating_mul(u64::from(ahead))
        })
    }

    /// Whether a found entry has passed the part of its time after which it is loaded anew.
    pub(crate) fn is_aging(found: &Found, rules: &Rules) -> bool {
        Self::aging(&found.entry, rules.ahead, found.now)
    }

    /// The hot path: asks the first layer, without waiting and without allocating.
    pub(crate) fn peek(&self, key: Lookup<'_>, rules: &Rules) -> Peeked {
        let Some(level) = self.levels.first() else { return Peeked::Miss };
        if rules.skip_memory || !self.trusts_memory() {
            return Peeked::Miss;
        }
        let Peek::Hit(entry) = level.layer.peek(key) else { return Peeked::Miss };
        let now = self.clock.steady();
        let fresh = Self::fresh(&entry, rules.limits, now);
        if !fresh && !Self::stale_within(&entry, rules.limits, now, rules.limits.stale) {
            return Peeked::Miss;
        }
        let forgiven = mistake!(StaleAcrossBump) && !fresh;
        if !forgiven && !self.holds(&entry, key) {
            return Peeked::Miss;
        }
        let aging = !fresh || Self::aging(&entry, rules.ahead, now);
        let claimed = aging && entry.claim(now, rules.hold());
        self.counters.hits.add(1);
        level.counters.hits.add(1);
        if !fresh {
            self.counters.stale.add(1);
        }
        let found = Found { entry, source: level.layer.source(), now, stale: !fresh };
        if claimed { Peeked::Aging(found) } else { Peeked::Hit(found) }
    }

    /// Runs a call of a layer. A failure or a panic is counted and gives `None`: it is never the result of a query.
    async fn guarded<T>(level: &Level, what: &'static str, call: BoxFuture<'_, Result<T>>) -> Option<T> {
        let layer = level.layer.name();
        match AssertUnwindSafe(call).catch_unwind().await {
            Ok(Ok(value)) => return Some(value),
            Ok(Err(error)) => tracing::debug!(layer, what, %error, "a cache layer failed"),
            Err(_) => tracing::error!(layer, what, "a cache layer panicked"),
        }
        level.counters.errors.add(1);
        None
    }

    /// Takes the local versions that a load beginning now is stored under.
    pub(crate) fn ticket(&self, item: &Item) -> Ticket {
        // First: a pattern that comes from here on finds the name.
        let open = self.open.add(item.name());
        let snapshot = self.stamps.snapshot(&item.names);
        let tokens = Tokens {
            layers: self.levels.iter().map(|_| None).collect(),
            unknown: self.levels.iter().filter(|level| level.layer.shared().is_some()).count(),
        };
        Ticket { snapshot, tokens, _open: open }
    }

    /// Takes the versions, local and shared, of several values: for those that the caller has already.
    pub(crate) async fn tickets(&self, items: &[Arc<Item>]) -> Vec<Option<Ticket>> {
        let mut tickets: Vec<Option<Ticket>> = items.iter().map(|item| Some(self.ticket(item))).collect();
        let all: Vec<usize> = (0..items.len()).collect();
        self.look_up(items, &all, &mut tickets, Which::Tokens).await;
        tickets
    }

    /// Takes the versions, local and shared, of a value.
    pub(crate) async fn ticket_with_tokens(&self, item: Item) -> (Arc<Item>, Ticket) {
        let items = [Arc::new(item)];
        let ticket = self.tickets(&items).await.pop().flatten();
        let ticket = ticket.unwrap_or_else(|| self.ticket(&items[0]));
        let [item] = items;
        (item, ticket)
    }

    /// Waits until everything that goes to shared layers has arrived or failed.
    pub(crate) async fn flush(&self) {
        self.tasks.idle().await;
    }

    /// Frees what the layers hold in this process; they must have been made invalid before.
    pub(crate) async fn free(&self) {
        for level in self.levels.iter().filter(|level| level.layer.shared().is_none()) {
            Self::guarded(level, "clear", level.layer.clear()).await;
        }
    }

    /// Frees what one layer holds.
    pub(crate) async fn free_layer(&self, at: usize) -> Result<()> {
        match self.levels.get(at) {
            Some(level) => level.layer.clear().await,
            None => Ok(()),
        }
    }

    /// Connects the shared layers.
    pub(crate) async fn connect(&self) -> Result<()> {
        for shared in self.shared() {
            shared.connect().await?;
        }
        Ok(())
    }

    /// Lets the shared layers go.
    pub(crate) fn close(&self) {
        self.shared().for_each(SharedLayer::close);
    }

    pub(crate) fn stats(&self) -> CacheStats {
        CacheStats::of(&self.counters)
    }

    pub(crate) fn message_stats(&self) -> MessageStats {
        MessageStats::of(&self.messages, self.is_attached(), self.shared().map(SharedLayer::unsent).sum())
    }

    pub(crate) fn layer_count(&self) -> usize {
        self.levels.len()
    }

    pub(crate) fn layer_stats(&self, at: usize) -> Option<LayerStats> {
        let level = self.levels.get(at)?;
        Some(LayerStats::of(level.layer.name(), level.layer.source(), &level.counters, level.layer.usage()))
    }
}
