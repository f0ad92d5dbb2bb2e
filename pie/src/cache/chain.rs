//! The layers of an engine and what holds for all of them: validity, versions, set-up. One layer (`level`), asking (`walk`),
//! storing (`store`), ending (`invalidate`), the lock of a load (`lock`) and counting (`count`) are rooms of their own.
//!
//! The order of steps is what keeps stale values out (section 5 of the design): local versions and shared tokens are read
//! *before* a load begins; an entry is stored under those; an invalidation removes the tokens first and counts the local
//! versions up last. Every future here is safe to drop at any await.

mod count;
mod gather;
mod invalidate;
mod level;
mod lock;
mod store;
mod walk;

use std::fmt;
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, OnceLock, PoisonError};
use std::time::Duration;

use level::Level;
pub(crate) use lock::{Locked, Locking};
use smallvec::{SmallVec, smallvec};

use super::commits::Commits;
use super::entry::{Entry, Inner, Payload, ValueCodec};
use super::flights::{Entered, Flight, Flights, Lead};
use super::groups::{Group, GroupId, Groups};
use super::inbox::Inbox;
use super::key::{Key, Lookup};
use super::layer::{CacheLayer, Peek, SharedLayer};
use super::names::{Names, Others, Tokens};
use super::open::Opened;
use super::rules::{Limits, Rules};
use super::stamps::{Slots, Snapshot, StampName, Stamps};
use super::stats::{Counter, MessageCounters};
use super::tracker::Tracker;
use crate::clock::Clock;
use crate::error::Result;
use crate::layers::memory::Sight;
use crate::query::{Source, Told};
use crate::task;

/// One value to look up.
#[derive(Debug)]
pub(crate) struct Item {
    pub(crate) key: Key,
    pub(crate) others: Arc<Others>,
    pub(crate) limits: Limits,
    pub(crate) codec: &'static ValueCodec,
    /// Who it is counted for.
    pub(crate) group: &'static GroupId,
}

impl Item {
    /// The name of its key.
    pub(crate) fn name(&self) -> &StampName {
        self.key.name()
    }

    /// What it depends on.
    pub(crate) fn names(&self) -> Names<'_> {
        Names::new(self.name(), &self.others)
    }

    /// Where the versions of what it depends on are.
    fn slots(&self, stamps: &Stamps) -> Slots {
        let mut slots = stamps.slots([self.name()]);
        slots.extend_from_slice(self.others.slots(stamps));
        slots
    }
}

/// The shared tokens before a load, for each layer; `None` for in-process layers and for shared ones that did not answer.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct LayerTokens {
    layers: SmallVec<[Option<Tokens>; 2]>,
    /// How many shared layers did not answer.
    unknown: usize,
}

impl LayerTokens {
    /// Whether both are known, and the same.
    pub(crate) fn same(&self, other: &Self) -> bool {
        self.unknown == 0 && self == other
    }
}

/// The versions before a load: what its result is stored under.
#[derive(Debug)]
pub(crate) struct Ticket {
    pub(crate) snapshot: Snapshot,
    pub(crate) tokens: LayerTokens,
    /// The layer that failed while the value was looked up.
    pub(crate) failed: Option<&'static str>,
    /// Patterns find the load by this until its result is stored.
    open: Opened,
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

impl Found {
    /// What its reader is told of it.
    pub(crate) fn told(&self) -> Told {
        Told::new(self.source.number(), self.now.saturating_sub(self.entry.loaded_at()), self.stale)
    }
}

/// The answer of a read.
#[derive(Debug, Clone)]
pub(crate) enum Got {
    /// A layer had it.
    Found(Found),
    /// It was loaded.
    Loaded(Payload),
}

/// A value in the first layer, looked at where it is.
pub(crate) struct Seen {
    pub(crate) sight: Sight,
    pub(crate) told: Told,
    /// Whether it is up to the caller to have it loaded anew: the entry is claimed for it.
    pub(crate) aging: bool,
}

/// A list that has one item most often, and then none on the heap.
pub(crate) type Single<T> = SmallVec<[T; 1]>;

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

/// All layers of an engine, in order.
pub(crate) struct Chain {
    /// The layers, from the first use on.
    used: OnceLock<Vec<Arc<Level>>>,
    /// The layers before the first use; `None` after it.
    unused: Mutex<Option<Vec<Arc<Level>>>>,
    pub(crate) stamps: Stamps,
    pub(crate) clock: Clock,
    pub(crate) groups: Groups,
    pub(crate) invalidations: Counter,
    #[cfg(feature = "metrics")]
    pub(crate) published: super::publish::Published,
    pub(crate) messages: MessageCounters,
    pub(crate) tasks: Tracker,
    pub(crate) flights: Flights,
    commits: Arc<Commits>,
    enabled: AtomicBool,
    config: ChainConfig,
    oversized_said: AtomicBool,
    /// When the layers were last told to free what is past its time.
    expired_at: AtomicU64,
    /// Layers whose messages do not arrive.
    detached: AtomicUsize,
}

impl fmt::Debug for Chain {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.look(|levels| f.debug_list().entries(levels.iter().map(|level| level.layer.name())).finish())
    }
}

/// How a chain is set up.
#[derive(Debug, Clone, Copy)]
pub(crate) struct ChainConfig {
    /// The greatest payload that is stored, in bytes.
    pub(crate) max_entry: usize,
    /// Whether layers in this process do not answer while messages do not arrive.
    pub(crate) bypass_detached: bool,
    /// How long a layer in this process is waited for.
    pub(crate) layer_timeout: Option<Duration>,
    /// How many slots of local versions there are, as a power of two.
    pub(crate) bits: u32,
    /// Whether reads of a shared layer that come at the same time go together.
    pub(crate) gathers: bool,
}

impl Default for ChainConfig {
    fn default() -> Self {
        Self {
            max_entry: usize::MAX,
            bypass_detached: false,
            layer_timeout: None,
            bits: Stamps::DEFAULT_BITS,
            gathers: true,
        }
    }
}

impl Chain {
    pub(crate) fn new(layers: Vec<Arc<dyn CacheLayer>>, clock: Clock, config: ChainConfig) -> Arc<Self> {
        let chain = Arc::new(Self {
            used: OnceLock::new(),
            unused: Mutex::new(Some(Vec::with_capacity(layers.len()))),
            stamps: Stamps::with_bits(config.bits),
            expired_at: AtomicU64::new(clock.steady()),
            clock,
            groups: Groups::default(),
            invalidations: Counter::default(),
            #[cfg(feature = "metrics")]
            published: super::publish::Published::default(),
            messages: MessageCounters::default(),
            tasks: Tracker::default(),
            flights: Flights::default(),
            commits: Arc::default(),
            enabled: AtomicBool::new(true),
            config,
            oversized_said: AtomicBool::new(false),
            detached: AtomicUsize::new(0),
        });
        for layer in layers {
            // Nobody can have used it yet.
            let _ = chain.add(layer);
        }
        chain
    }

    /// Adds a layer below the others; gives it back when the chain was used already.
    pub(crate) fn add(
        self: &Arc<Self>,
        layer: Arc<dyn CacheLayer>,
    ) -> std::result::Result<(), Arc<dyn CacheLayer>> {
        {
            let mut unused = self.unused.lock().unwrap_or_else(PoisonError::into_inner);
            match unused.as_mut() {
                Some(levels) => levels.push(Arc::new(Level::new(Arc::clone(&layer), self.config.gathers))),
                None => return Err(layer),
            }
        }
        if let Some(shared) = layer.shared() {
            // Before it listens: it may be attached before it returns.
            self.detach();
            if !shared.listen(Inbox::new(self)) {
                self.attach();
            }
        }
        Ok(())
    }

    /// The layers, for a read or a write: from now on none can be added.
    fn levels(&self) -> &[Arc<Level>] {
        self.used.get_or_init(|| {
            let mut unused = self.unused.lock().unwrap_or_else(PoisonError::into_inner);
            unused.take().unwrap_or_default()
        })
    }

    /// The layers, for who only looks at them.
    fn look<T>(&self, work: impl FnOnce(&[Arc<Level>]) -> T) -> T {
        {
            let unused = self.unused.lock().unwrap_or_else(PoisonError::into_inner);
            if let Some(levels) = unused.as_deref() {
                return work(levels);
            }
        }
        work(self.levels())
    }

    /// The layers as they are.
    pub(crate) fn layers(&self) -> Vec<Arc<dyn CacheLayer>> {
        self.look(|levels| levels.iter().map(|level| Arc::clone(&level.layer)).collect())
    }

    pub(crate) fn is_enabled(&self) -> bool {
        self.enabled.load(Ordering::Relaxed)
    }

    pub(crate) fn enable(&self, enabled: bool) {
        self.enabled.store(enabled, Ordering::Relaxed);
    }

    /// The counters of who a value is counted for.
    pub(crate) fn group(&self, item: &Item) -> &Group {
        self.groups.of(item.group)
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
        !self.config.bypass_detached || self.is_attached()
    }

    /// Whether nothing that the entry depends on was invalidated since it was loaded, and it is the key's.
    fn holds(&self, entry: &Inner, key: Lookup<'_>) -> bool {
        entry.is_for(key) && self.stamps.holds(entry.snapshot())
    }

    /// Whether an entry may be served as it is.
    fn fresh(entry: &Inner, limits: Limits, now: u64) -> bool {
        now < entry.deadline() && now.saturating_sub(entry.loaded_at()) < limits.fresh(entry.is_empty())
    }

    /// Whether an entry past its time may still be served, `window` milliseconds after it at most.
    fn stale_within(entry: &Inner, limits: Limits, now: u64, window: u64) -> bool {
        let age = now.saturating_sub(entry.loaded_at());
        let end = entry.deadline().min(entry.loaded_at().saturating_add(limits.fresh(entry.is_empty())));
        age < limits.last(entry.is_empty()) && now < end.saturating_add(window)
    }

    /// Whether a value past its time may be served while it is loaded anew.
    pub(crate) fn servable(found: &Found, limits: Limits) -> bool {
        Self::stale_within(found.entry.inner(), limits, found.now, limits.stale)
    }

    /// Whether a value past its time may be served because loading failed; asked when it did.
    pub(crate) fn excusable(&self, found: &Found, item: &Item) -> bool {
        let now = self.clock.steady();
        Self::stale_within(found.entry.inner(), item.limits, now, item.limits.window())
            && (self.holds(found.entry.inner(), item.key.lookup()) || mistake!(StaleAcrossBump))
    }

    /// Whether a reader with these limits may have an answer that another reader found.
    pub(crate) fn suits(&self, found: &Found, item: &Item) -> bool {
        let now = self.clock.steady();
        Self::fresh(found.entry.inner(), item.limits, now)
            || (found.stale
                && Self::stale_within(found.entry.inner(), item.limits, now, item.limits.window()))
    }

    /// Whether an entry has passed this part of its time, in thousandths.
    fn aging(entry: &Inner, ahead: Option<u16>, now: u64) -> bool {
        ahead.is_some_and(|ahead| {
            let (age, life) =
                (now.saturating_sub(entry.loaded_at()), entry.deadline().saturating_sub(entry.loaded_at()));
            age.saturating_mul(1_000) >= life.saturating_mul(u64::from(ahead))
        })
    }

    /// Whether a found entry has passed the part of its time after which it is loaded anew.
    pub(crate) fn is_aging(found: &Found, rules: &Rules) -> bool {
        Self::aging(found.entry.inner(), rules.ahead, found.now)
    }

    /// The hot path: asks the first layer, without waiting and without allocating.
    pub(crate) fn peek(&self, key: Lookup<'_>, rules: &Rules, group: &Group) -> Option<Seen> {
        self.peek_here(key, rules, group)
    }

    /// The same, where no call is in between.
    #[inline(always)]
    pub(crate) fn peek_here(&self, key: Lookup<'_>, rules: &Rules, group: &Group) -> Option<Seen> {
        let level = self.levels().first()?;
        if rules.skip_memory || !self.trusts_memory() {
            return None;
        }
        let sight = match &level.memory {
            Some(memory) => memory.see(key),
            None => match level.at_once("peek", |layer| layer.peek(key)) {
                Some(Peek::Hit(entry)) if entry.is_for(key) => Some(Sight::of(entry)),
                _ => None,
            },
        };
        let sight = sight?;
        let entry = &**sight.entry();
        let now = self.clock.steady();
        let fresh = Self::fresh(entry, rules.limits, now);
        if !fresh && !Self::stale_within(entry, rules.limits, now, rules.limits.stale) {
            return None;
        }
        let forgiven = mistake!(StaleAcrossBump) && !fresh;
        if !forgiven && !self.stamps.holds(entry.snapshot()) {
            return None;
        }
        let aging = !fresh || Self::aging(entry, rules.ahead, now);
        let aging = aging && entry.claim(now, rules.hold());
        let before = group.hits_at_once.add_one();
        if let Some(memory) = &level.memory {
            memory.tell(entry, before);
        }
        if !fresh {
            group.stale.add(1);
        }
        let told = Told::new(level.source_number, now.saturating_sub(entry.loaded_at()), !fresh);
        Some(Seen { sight, told, aging })
    }

    /// Takes the local versions that a load beginning now is stored under.
    pub(crate) fn ticket(&self, item: &Item) -> Ticket {
        // First: a pattern that comes from here on finds the name.
        let open = self.opened(item);
        let snapshot = self.stamps.snapshot_of(item.slots(&self.stamps));
        Ticket { snapshot, tokens: self.no_tokens(), failed: None, open }
    }

    fn opened(&self, item: &Item) -> Opened {
        Opened::Alone(self.flights.open([item.name()]))
    }

    /// Enters the flight of a value, under the versions that are taken in the same moment; who leads has a ticket, which is good as
    /// long as the flight is.
    pub(crate) fn enter(&self, item: &Arc<Item>) -> std::result::Result<(Ticket, Lead), Arc<Flight>> {
        let slots = item.slots(&self.stamps);
        match self.flights.enter(item, || self.stamps.snapshot_of(slots), None) {
            Entered::Lead(lead) => {
                let (snapshot, tokens) = (lead.snapshot().clone(), self.no_tokens());
                Ok((Ticket { snapshot, tokens, failed: None, open: Opened::InFlight }, lead))
            }
            Entered::Join(flight) => Err(flight),
        }
    }

    /// Makes the ticket of a flight good for longer.
    pub(crate) fn keep_open(&self, ticket: &mut Ticket, item: &Item) {
        ticket.open = self.opened(item);
    }

    /// The same for several loads.
    pub(crate) fn local_tickets(&self, items: &[Arc<Item>]) -> Single<Option<Ticket>> {
        let [first, rest @ ..] = items else { return Single::new() };
        if rest.is_empty() {
            return smallvec![Some(self.ticket(first))];
        }
        let open = Arc::new(self.flights.open(items.iter().map(|item| item.name())));
        let tokens = self.no_tokens();
        items
            .iter()
            .map(|item| {
                Some(Ticket {
                    snapshot: self.stamps.snapshot_of(item.slots(&self.stamps)),
                    tokens: tokens.clone(),
                    failed: None,
                    open: Opened::Together(Arc::clone(&open)),
                })
            })
            .collect()
    }

    fn no_tokens(&self) -> LayerTokens {
        let mut tokens = LayerTokens::default();
        for level in self.levels() {
            tokens.layers.push(None);
            tokens.unknown += usize::from(level.shared);
        }
        tokens
    }

    /// Takes the versions, local and shared, of several values: for those that the caller has already.
    pub(crate) async fn tickets(&self, items: &[Arc<Item>]) -> Single<Option<Ticket>> {
        let mut tickets = self.local_tickets(items);
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
        for level in self.levels().iter().filter(|level| level.layer.shared().is_none()) {
            self.limited(level, "clear", |layer| layer.clear()).await;
        }
    }

    /// Frees what one layer holds.
    pub(crate) async fn free_layer(&self, at: usize) -> Result<()> {
        match self.levels().get(at) {
            Some(level) => level.layer.clear().await,
            None => Ok(()),
        }
    }

    /// Has the layers of this process free what is past its time, when a minute has passed since the last time.
    fn expire_if_due(self: &Arc<Self>) {
        /// In milliseconds.
        const EACH: u64 = 60_000;
        let (now, last) = (self.clock.steady(), self.expired_at.load(Ordering::Relaxed));
        let due = now.saturating_sub(last) >= EACH;
        if due && self.expired_at.compare_exchange(last, now, Ordering::Relaxed, Ordering::Relaxed).is_ok() {
            let (chain, running) = (Arc::clone(self), self.tasks.start());
            task::spawn_blocking(move || {
                for level in chain.levels().iter().filter(|level| level.layer.shared().is_none()) {
                    level.at_once("expire", |layer| layer.expire(now));
                }
                drop(running);
            });
        }
    }

    /// Lets the shared layers go.
    pub(crate) fn close(&self) {
        self.look(|levels| {
            levels.iter().filter_map(|level| level.layer.shared()).for_each(SharedLayer::close);
        });
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cache::manual;
    use crate::clock::ManualClock;

    #[test]
    fn the_versions_of_several_values_are_those_of_each() {
        let clock = Clock::from(&ManualClock::new());
        let chain = Chain::new(Vec::new(), clock, ChainConfig { bits: 16, ..ChainConfig::default() });
        let limits = Rules::new(Duration::from_secs(60), Duration::ZERO, Duration::ZERO).limits;
        let item = |key: &str, tags: &[&str]| {
            let tags: Vec<Box<str>> = tags.iter().map(|tag| (*tag).into()).collect();
            manual::item(&chain, "pie:", &[StampName::new("pie:", "n")], key, &tags, limits).expect("valid")
        };
        let mut items = [item("a:1", &[]), item("a:2", &[]), item("a:3", &["t"]), item("a:4", &[])];
        // As rows of one model have them; the others have lists of their own.
        items[1].others = Arc::clone(&items[0].others);
        items[3].others = Arc::clone(&items[2].others);
        let items = items.map(Arc::new);
        for (at, item) in items.iter().enumerate() {
            // So that no two slots have the same version.
            (0..=at).for_each(|_| chain.stamps.bump(item.names()));
        }
        let together: Vec<Ticket> = chain.local_tickets(&items).into_iter().flatten().collect();
        assert_eq!(together.len(), items.len());
        for (item, ticket) in items.iter().zip(&together) {
            assert_eq!(ticket.snapshot, chain.ticket(item).snapshot);
            assert!(chain.stamps.holds(ticket.snapshot.as_ref()));
        }
        for (item, ticket) in items.iter().zip(&together) {
            chain.stamps.bump([item.name()]);
            assert!(!chain.stamps.holds(ticket.snapshot.as_ref()));
        }
    }
}
