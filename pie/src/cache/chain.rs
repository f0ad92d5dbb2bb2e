//! The walk through the layers: backfill with the remaining time to live, storing, invalidation.
//!
//! The order of steps is what keeps stale values out (section 5 of the design): local versions and shared tokens are read
//! *before* a load begins; an entry is stored under those; an invalidation removes the tokens first and counts the local
//! versions up last. Every future here is safe to drop at any await.

use std::fmt;
use std::panic::AssertUnwindSafe;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

use futures_util::FutureExt;
use futures_util::future::join_all;

use super::entry::{Entry, Payload, Times, ValueCodec};
use super::flights::Flights;
use super::glob;
use super::inbox::Inbox;
use super::key::{Key, Lookup};
use super::layer::{BoxFuture, CacheLayer, Peek, SharedLayer, SharedRead, SharedReply, SharedWrite};
use super::open::{Open, OpenNames};
use super::rules::{Limits, Rules};
use super::stamps::{Snapshot, StampName, Stamps};
use super::stats::{CacheStats, Counters, LayerCounters, LayerStats, MessageCounters, MessageStats};
use super::tracker::Tracker;
use crate::clock::Clock;
use crate::codec::{Envelope, Token, name_hash};
use crate::error::Result;
use crate::query::Source;
use crate::task;

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
    /// Whether layers in this process may not answer right now.
    bypass: AtomicBool,
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
            bypass: AtomicBool::new(false),
        });
        for shared in chain.shared() {
            if shared.listen(Inbox::new(&chain)) {
                chain.detach();
            }
        }
        chain
    }

    fn shared(&self) -> impl Iterator<Item = &dyn SharedLayer> {
        self.levels.iter().filter_map(|level| level.layer.shared())
    }

    pub(crate) fn detach(&self) {
        self.detached.fetch_add(1, Ordering::AcqRel);
        self.bypass.store(self.bypass_detached, Ordering::Release);
    }

    pub(crate) fn attach(&self) {
        if self.detached.fetch_sub(1, Ordering::AcqRel) == 1 {
            self.bypass.store(false, Ordering::Release);
        }
    }

    /// Whether messages of other processes arrive.
    pub(crate) fn is_attached(&self) -> bool {
        self.detached.load(Ordering::Acquire) == 0
    }

    /// Whether layers in this process may answer.
    pub(crate) fn trusts_memory(&self) -> bool {
        !self.bypass.load(Ordering::Acquire)
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

    async fn read(
        level: &Level,
        shared: &dyn SharedLayer,
        items: &[Arc<Item>],
        wanted: &[usize],
    ) -> Vec<(usize, SharedReply)> {
        let reads: Vec<SharedRead<'_>> = wanted
            .iter()
            .map(|i| {
                let item = &items[*i];
                SharedRead { key: &item.key, names: &item.names, ttl: item.limits.life() }
            })
            .collect();
        match Self::guarded(level, "read", shared.read(&reads)).await {
            Some(replies) => {
                let fits = |i: usize, reply: &SharedReply| reply.tokens.len() == items[i].names.len();
                wanted.iter().copied().zip(replies).filter(|(i, reply)| fits(*i, reply)).collect()
            }
            None => Vec::new(),
        }
    }

    /// Looks some of the items up, layer by layer: a shared layer is asked once for all that are still missing. Fresh hits
    /// are written to the layers above; of values past their time the newest is given.
    pub(crate) async fn look_up(
        &self,
        items: &[Arc<Item>],
        wanted: &[usize],
        tickets: &mut [Option<Ticket>],
        which: Which,
    ) -> Vec<Option<Found>> {
        let mut best: Vec<Option<Found>> = items.iter().map(|_| None).collect();
        for (at, level) in self.levels.iter().enumerate() {
            let missing: Vec<usize> = wanted
                .iter()
                .copied()
                .filter(|i| best[*i].as_ref().is_none_or(|found| found.stale))
                .collect();
            if missing.is_empty() {
                break;
            }
            let answers = match level.layer.shared() {
                Some(shared) => self.ask_shared(level, shared, items, &missing, tickets, at).await,
                None if which == Which::All => self.ask_local(level, items, &missing).await,
                None => continue,
            };
            if which == Which::Tokens {
                continue;
            }
            for (i, found) in missing.into_iter().zip(answers) {
                let Some(found) = found else { continue };
                let newer =
                    best[i].as_ref().is_none_or(|best| best.entry.loaded_at() < found.entry.loaded_at());
                if found.stale && !newer {
                    continue;
                }
                pause!();
                // Who asks below memory may have claimed the value past its time that is in it.
                if let Some(ticket) = &tickets[i]
                    && !(found.stale && which == Which::Below)
                {
                    self.fill(&items[i], &found.entry, ticket, at, which).await;
                }
                best[i] = Some(found);
            }
        }
        wanted.iter().map(|i| best[*i].take()).collect()
    }

    fn seen(&self, level: &Level, entry: Entry, item: &Item) -> Option<Found> {
        let now = self.clock.steady();
        let fresh = Self::fresh(&entry, item.limits, now);
        let of_use = fresh || Self::stale_within(&entry, item.limits, now, item.limits.window());
        of_use.then(|| Found { entry, source: level.layer.source(), now, stale: !fresh })
    }

    async fn ask_local(&self, level: &Level, items: &[Arc<Item>], wanted: &[usize]) -> Vec<Option<Found>> {
        let mut answers = Vec::with_capacity(wanted.len());
        for i in wanted {
            let item = &items[*i];
            let entry = match level.layer.peek(item.key.lookup()) {
                Peek::Hit(entry) => Some(entry),
                Peek::Miss => None,
                Peek::Ask => Self::guarded(level, "get", level.layer.get(&item.key)).await.flatten(),
            };
            let valid = entry
                .filter(|entry| {
                    self.holds(entry, item.key.lookup())
                        || (mistake!(StaleAcrossBump) && self.clock.steady() >= entry.deadline())
                })
                .and_then(|entry| self.seen(level, entry, item));
            level.counters.asked(valid.as_ref().is_some_and(|found| !found.stale));
            answers.push(valid);
        }
        answers
    }

    async fn ask_shared(
        &self,
        level: &Level,
        shared: &dyn SharedLayer,
        items: &[Arc<Item>],
        wanted: &[usize],
        tickets: &mut [Option<Ticket>],
        at: usize,
    ) -> Vec<Option<Found>> {
        let mut answers: Vec<Option<Found>> = wanted.iter().map(|_| None).collect();
        let mut tagged = Vec::new();
        for (i, reply) in Self::read(level, shared, items, wanted).await {
            let Some(ticket) = &mut tickets[i] else { continue };
            let place = wanted.iter().position(|wanted| *wanted == i);
            if let (Some(place), Some(tags)) = (place, Self::unnamed_tags(&items[i], &reply)) {
                tagged.push((place, i, tags));
            }
            let entry = self.open(&items[i], &reply, &ticket.snapshot);
            if ticket.tokens.layers[at].replace(reply.tokens).is_none() {
                ticket.tokens.unknown -= 1;
            }
            if let Some(place) = place {
                answers[place] = entry.and_then(|entry| self.seen(level, entry, &items[i]));
            }
        }
        for (place, entry) in self.ask_with_tags(level, shared, items, tagged).await {
            answers[place] = entry;
        }
        for answer in &answers {
            level.counters.asked(answer.as_ref().is_some_and(|found| !found.stale));
        }
        answers
    }

    /// Asks once more for values that depend on tags which their reader did not name.
    async fn ask_with_tags(
        &self,
        level: &Level,
        shared: &dyn SharedLayer,
        items: &[Arc<Item>],
        tagged: Vec<(usize, usize, Vec<Box<str>>)>,
    ) -> Vec<(usize, Option<Found>)> {
        if tagged.is_empty() {
            return Vec::new();
        }
        let (mut places, mut whole) = (Vec::new(), Vec::new());
        for (place, i, tags) in tagged {
            let item = &items[i];
            let (scope, _) = item.name().parts();
            let mut names = item.names.clone();
            // In the place where the writer has them: after the key's and the family's.
            names.splice(2..2, tags.iter().map(|tag| StampName::new(scope, &format!("t:{tag}"))));
            places.push(place);
            whole.push(Arc::new(Item {
                key: item.key.clone(),
                names,
                limits: item.limits,
                codec: item.codec,
            }));
        }
        let tickets: Vec<Ticket> = whole.iter().map(|item| self.ticket(item)).collect();
        let all: Vec<usize> = (0..whole.len()).collect();
        let mut answers = Vec::new();
        for (i, reply) in Self::read(level, shared, &whole, &all).await {
            let entry = self.open(&whole[i], &reply, &tickets[i].snapshot);
            answers.push((places[i], entry.and_then(|entry| self.seen(level, entry, &whole[i]))));
        }
        answers
    }

    /// The tags of stored bytes that depend on more than the reader named.
    fn unnamed_tags(item: &Item, reply: &SharedReply) -> Option<Vec<Box<str>>> {
        let tags = item.codec.tags?;
        let (envelope, body) = Envelope::open(reply.bytes.as_ref()?)?;
        let more = envelope.codec == item.codec.id as u8 && envelope.stamps.len() > item.names.len();
        if more { tags(&body) } else { None }
    }

    /// The entry of stored bytes, if they are readable, of use, and stored under the tokens that are current now.
    fn open(&self, item: &Item, reply: &SharedReply, snapshot: &Snapshot) -> Option<Entry> {
        let bytes = reply.bytes.as_ref()?;
        let opened = Envelope::open(bytes).filter(|(envelope, _)| envelope.codec == item.codec.id as u8);
        let Some((envelope, body)) = opened else {
            self.counters.undecodable.add(1);
            return None;
        };
        let current = item.names.iter().zip(&reply.tokens);
        let same = envelope.stamps.len() == item.names.len()
            && current.zip(&envelope.stamps).all(|((name, token), stamp)| {
                *stamp == (name_hash(name.as_str()), *token)
                    || (mistake!(TagFoldedAway) && name.parts().1.starts_with("t:"))
            });
        if !same {
            return None;
        }
        let (wall, now) = (self.clock.wall(), self.clock.steady());
        let (Some(age), Some(payload)) = (wall.checked_sub(envelope.loaded_at), (item.codec.decode)(&body))
        else {
            self.counters.undecodable.add(1);
            return None;
        };
        let limits = item.limits;
        if age >= limits.last(payload.empty) {
            return None;
        }
        // Never longer than this reader's own policy, whatever the clock of the writer said.
        let life = envelope.deadline.saturating_sub(envelope.loaded_at).min(limits.fresh(payload.empty));
        let loaded_at = now.saturating_sub(age);
        let deadline = now.saturating_add(life).saturating_sub(age);
        let keep_until =
            deadline.saturating_add(limits.window()).min(loaded_at.saturating_add(limits.max_age));
        let times = Times { loaded_at, deadline, keep_until };
        let snapshot = if mistake!(BackfillWithoutSnapshot) {
            self.stamps.snapshot(&item.names)
        } else {
            snapshot.clone()
        };
        Some(Entry::new((&item.key, item.name()), payload, item.codec, Some(body), times, snapshot))
    }

    /// Stores values, each for its milliseconds, and waits until shared layers have them or failed to take them.
    pub(crate) async fn store_everywhere(self: &Arc<Self>, values: Vec<(Arc<Item>, Payload, u64, Ticket)>) {
        if let Some(writing) = self.store_here(values).await {
            task::spawn(writing).await;
        }
    }

    /// Stores values in the layers of this process; gives the work that is left.
    pub(crate) async fn store_here(
        self: &Arc<Self>,
        values: Vec<(Arc<Item>, Payload, u64, Ticket)>,
    ) -> Option<impl Future<Output = ()> + Send + use<>> {
        let now = self.clock.steady();
        let mut stored: Vec<(Arc<Item>, Entry, Ticket)> = Vec::with_capacity(values.len());
        for (item, payload, ttl, ticket) in values {
            let size = (item.codec.weigh)(&*payload.value);
            if size > self.max_entry {
                self.oversized(size);
                continue;
            }
            let limits = item.limits;
            let deadline = now.saturating_add(ttl);
            let keep_until = deadline.saturating_add(limits.window()).min(now.saturating_add(limits.max_age));
            let times = Times { loaded_at: now, deadline, keep_until: keep_until.max(now) };
            let snapshot = if mistake!(LateSnapshot) {
                self.stamps.snapshot(&item.names)
            } else {
                ticket.snapshot.clone()
            };
            let entry = Entry::new((&item.key, item.name()), payload, item.codec, None, times, snapshot);
            // What was invalidated meanwhile is not worth the place of what is valid.
            if self.stamps.holds(entry.snapshot()) {
                pause!();
                for level in self.levels.iter().filter(|level| level.layer.shared().is_none()) {
                    self.set(level, &item, &entry).await;
                }
            }
            if ticket.tokens.layers.iter().any(Option::is_some) {
                stored.push((item, entry, ticket));
            }
        }
        if stored.is_empty() {
            return None;
        }
        let (chain, running) = (Arc::clone(self), self.tasks.start());
        Some(async move {
            for (at, level) in chain.levels.iter().enumerate() {
                let Some(shared) = level.layer.shared() else { continue };
                let batch: Vec<(&Arc<Item>, &Entry, &[Token])> = stored
                    .iter()
                    .filter_map(|(item, entry, ticket)| {
                        Some((item, entry, ticket.tokens.layers[at].as_deref()?))
                    })
                    .collect();
                chain.write(level, shared, &batch).await;
            }
            drop(stored);
            drop(running);
        })
    }

    fn oversized(&self, size: usize) {
        self.counters.oversized.add(1);
        if !self.oversized_said.swap(true, Ordering::Relaxed) {
            tracing::warn!(
                size,
                limit = self.max_entry,
                "a value is greater than `max_entry_size` and is not cached; this is said once"
            );
        }
    }

    async fn set(&self, level: &Level, item: &Item, entry: &Entry) {
        if Self::guarded(level, "set", level.layer.set(&item.key, entry)).await.is_some() {
            level.counters.sets.add(1);
        }
    }

    /// Writes entries to a shared layer, each under its tokens, in one call.
    async fn write(&self, level: &Level, shared: &dyn SharedLayer, batch: &[(&Arc<Item>, &Entry, &[Token])]) {
        let (now, wall) = (self.clock.steady(), self.clock.wall());
        let mut sealed: Vec<(&Arc<Item>, bytes::Bytes, u64)> = Vec::with_capacity(batch.len());
        for (item, entry, tokens) in batch {
            let Some(ttl) = entry.keep_until().checked_sub(now).filter(|ttl| *ttl > 0) else { continue };
            let Some(body) = entry.encoded() else {
                let layer = level.layer.name();
                tracing::debug!(layer, "a value could not be encoded; it stays in this process");
                continue;
            };
            if body.len() > self.max_entry {
                self.oversized(body.len());
                continue;
            }
            let late;
            let tokens = if mistake!(LateToken) {
                late = Self::read(level, shared, std::slice::from_ref(*item), &[0]).await;
                late.first().map_or(*tokens, |(_, reply)| &*reply.tokens)
            } else {
                *tokens
            };
            let loaded_at = wall.saturating_sub(now.saturating_sub(entry.loaded_at()));
            let envelope = Envelope {
                codec: entry.codec().id as u8,
                empty: entry.is_empty(),
                loaded_at,
                deadline: loaded_at.saturating_add(entry.deadline().saturating_sub(entry.loaded_at())),
                stamps: item
                    .names
                    .iter()
                    .map(|name| name_hash(name.as_str()))
                    .zip(tokens.iter().copied())
                    .collect(),
            };
            sealed.push((item, envelope.seal(body), ttl));
        }
        for part in sealed.chunks(MAX_BATCH) {
            let writes: Vec<SharedWrite<'_>> = part
                .iter()
                .map(|(item, bytes, ttl)| SharedWrite {
                    key: &item.key,
                    bytes,
                    ttl: *ttl,
                    names: &item.names,
                })
                .collect();
            if Self::guarded(level, "write", shared.write(&writes)).await.is_some() {
                level.counters.sets.add(writes.len() as u64);
            }
        }
    }

    /// Writes a hit to the layers above the one that had it.
    async fn fill(&self, item: &Arc<Item>, entry: &Entry, ticket: &Ticket, below: usize, which: Which) {
        for (at, level) in self.levels.iter().enumerate().take(below) {
            match (level.layer.shared(), &ticket.tokens.layers[at]) {
                (None, _)
                    if matches!(which, Which::All | Which::Below) && self.stamps.holds(entry.snapshot()) =>
                {
                    self.set(level, item, entry).await;
                }
                (Some(shared), Some(tokens)) => self.write(level, shared, &[(item, entry, tokens)]).await,
                (None, _) | (Some(_), None) => {}
            }
        }
    }

    /// Makes everything invalid that depends on one of the names: first in the shared layers, then here.
    ///
    /// Runs in a task of its own, so that dropping the returned future does not stop it half-way.
    pub(crate) async fn invalidate(self: &Arc<Self>, names: Vec<StampName>) {
        let (chain, running) = (Arc::clone(self), self.tasks.start());
        // A failure of the task is a shutdown of the runtime: nobody reads any more.
        task::spawn(async move {
            chain.invalidate_here(&names).await;
            drop(running);
        })
        .await;
    }

    /// As [`invalidate`](Self::invalidate), for callers that run in a task of their own already.
    pub(crate) async fn invalidate_here(&self, names: &[StampName]) {
        if names.is_empty() {
            return;
        }
        if mistake!(BumpFirst) {
            self.stamps.bump(names);
        }
        let shared =
            self.levels.iter().filter_map(|level| level.layer.shared().map(|shared| (level, shared)));
        join_all(shared.map(|(level, shared)| Self::guarded(level, "invalidate", shared.invalidate(names))))
            .await;
        pause!();
        // Last: a reader that starts after the shared tokens are gone, and sees the old version here, would otherwise
        // store what it read before the write under the new version.
        if !mistake!(BumpFirst) {
            self.end_here(names);
        }
    }

    /// Counts the local versions of names up.
    fn end_here(&self, names: &[StampName]) {
        if !mistake!(NoOwnBump) {
            self.stamps.bump(names);
        }
    }

    /// Makes every value of a scope invalid whose logical key matches a pattern, with Redis' rules: in the shared layers,
    /// then what is stored and what is being loaded here. In a task of its own.
    pub(crate) async fn invalidate_pattern(self: &Arc<Self>, scope: &str, pattern: &str) {
        let (chain, running) = (Arc::clone(self), self.tasks.start());
        let (scope, pattern) = (scope.to_owned(), pattern.to_owned());
        task::spawn(async move {
            let shared =
                chain.levels.iter().filter_map(|level| level.layer.shared().map(|shared| (level, shared)));
            join_all(shared.map(|(level, shared)| {
                Self::guarded(level, "invalidate_pattern", shared.invalidate_pattern(&scope, &pattern))
            }))
            .await;
            pause!();
            chain.sweep(&scope, &pattern);
            drop(running);
        })
        .await;
    }

    /// Ends what matches a pattern in this process: what is being loaded, then what is stored.
    pub(crate) fn sweep(&self, scope: &str, pattern: &str) {
        let wanted = |name: &StampName| {
            let (within, name) = name.parts();
            within == scope
                && name
                    .strip_prefix("k:")
                    .is_some_and(|key| glob::matches(pattern.as_bytes(), key.as_bytes()))
        };
        // In this order: what is stored while the layers are walked was being loaded before.
        if !mistake!(GlobIgnoresFlights) {
            self.stamps.bump(&self.open.filter(wanted));
        }
        for level in self.levels.iter().filter(|level| level.layer.shared().is_none()) {
            let mut names = Vec::new();
            let all = level.layer.visit(&mut |entry| {
                if wanted(entry.name()) {
                    names.push(entry.name().clone());
                }
            });
            if !all {
                self.stamps.bump_epoch();
            }
            self.stamps.bump(&names);
        }
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

    /// Takes the lock of a load, for `lease` milliseconds at most, in the first shared layer that answers.
    pub(crate) async fn lock(self: &Arc<Self>, item: &Arc<Item>, lease: u64) -> Locked {
        for (at, level) in self.levels.iter().enumerate() {
            let Some(shared) = level.layer.shared() else { continue };
            match Self::guarded(level, "lock", shared.lock(&item.key, lease)).await {
                Some(super::layer::Lock::Acquired(token)) => {
                    return Locked::Mine(Locking {
                        chain: Arc::clone(self),
                        item: Arc::clone(item),
                        at,
                        token,
                    });
                }
                Some(super::layer::Lock::Held(released)) => return Locked::Theirs(released),
                None => {}
            }
        }
        Locked::Nobodys
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

/// The outcome of taking a lock.
pub(crate) enum Locked {
    /// Until dropped.
    Mine(Locking),
    /// Another process has it; the future ends when it gives it back.
    Theirs(BoxFuture<'static, ()>),
    /// No layer could say.
    Nobodys,
}

/// A lock that is given back when dropped.
pub(crate) struct Locking {
    chain: Arc<Chain>,
    item: Arc<Item>,
    at: usize,
    token: Token,
}

impl Drop for Locking {
    fn drop(&mut self) {
        let (chain, item, at, token) = (Arc::clone(&self.chain), Arc::clone(&self.item), self.at, self.token);
        // Counted: an engine that closes gives its locks back first.
        let running = chain.tasks.start();
        task::spawn_if_possible(async move {
            let level = &chain.levels[at];
            if let Some(shared) = level.layer.shared() {
                Chain::guarded(level, "unlock", shared.unlock(&item.key, token)).await;
            }
            drop(running);
        });
    }
}
