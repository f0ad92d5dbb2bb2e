//! The walk through the layers: L1 first, backfill with the remaining time to live, invalidation.
//!
//! The order of steps is what keeps stale values out (section 5 of the design): local versions and shared tokens are read
//! *before* a load begins; an entry is stored under those; an invalidation removes the tokens first and counts the local
//! versions up last. Every future here is safe to drop at any await.

use std::fmt;
use std::panic::AssertUnwindSafe;
use std::sync::Arc;

use futures_util::FutureExt;
use futures_util::future::join_all;

use super::entry::{Entry, Payload, ValueCodec};
use super::key::{Key, Lookup};
use super::layer::{BoxFuture, CacheLayer, Peek, SharedLayer, SharedRead, SharedReply, SharedWrite};
use super::stamps::{Snapshot, StampName, Stamps};
use super::stats::{CacheStats, Counters, LayerCounters, LayerStats};
use super::tracker::Tracker;
use crate::clock::Clock;
use crate::codec::{Envelope, Token, name_hash};
use crate::error::Result;
use crate::query::Source;

/// How old an answer may be at most, in milliseconds; what the reader asks for, however long the entry was meant to live.
#[derive(Debug, Clone, Copy)]
pub(crate) struct MaxAge {
    pub(crate) full: u64,
    pub(crate) empty: u64,
}

impl MaxAge {
    fn of(self, empty: bool) -> u64 {
        if empty { self.empty } else { self.full }
    }
}

/// One value to look up.
pub(crate) struct Item {
    pub(crate) key: Key,
    /// What it depends on; the key's own name first.
    pub(crate) names: Vec<StampName>,
    pub(crate) max_age: MaxAge,
    pub(crate) codec: &'static ValueCodec,
}

/// The versions before a load: what its result is stored under.
pub(crate) struct Ticket {
    snapshot: Snapshot,
    /// For each layer; `None` for in-process layers and for shared ones that did not answer.
    tokens: Vec<Option<Vec<Token>>>,
}

/// A valid entry, and who had it.
pub(crate) struct Found {
    pub(crate) entry: Entry,
    pub(crate) source: Source,
    /// The steady clock when it was found.
    pub(crate) now: u64,
}

/// The outcome of a look-up.
pub(crate) enum Looked {
    Hit(Found),
    Miss(Ticket),
}

/// What the first layer said at once.
pub(crate) enum Peeked {
    Hit(Found),
    /// The first layer does not have it.
    Miss,
    /// The first layer cannot answer without waiting.
    Unasked,
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
    pub(crate) tasks: Tracker,
}

impl fmt::Debug for Chain {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list().entries(self.levels.iter().map(|level| level.layer.name())).finish()
    }
}

impl Chain {
    pub(crate) fn new(layers: Vec<Arc<dyn CacheLayer>>, clock: Clock) -> Self {
        let levels =
            layers.into_iter().map(|layer| Level { layer, counters: LayerCounters::default() }).collect();
        Self {
            levels,
            stamps: Stamps::new(),
            clock,
            counters: Counters::default(),
            tasks: Tracker::default(),
        }
    }

    fn valid(&self, entry: &Entry, key: Lookup<'_>, max_age: MaxAge, now: u64) -> bool {
        now < entry.deadline()
            && now.saturating_sub(entry.loaded_at()) < max_age.of(entry.is_empty())
            && entry.is_for(key)
            && self.stamps.holds(entry.snapshot())
    }

    /// The hot path: asks the first layer, without waiting and without allocating.
    pub(crate) fn peek(&self, key: Lookup<'_>, max_age: MaxAge) -> Peeked {
        let Some(level) = self.levels.first() else { return Peeked::Unasked };
        match level.layer.peek(key) {
            Peek::Hit(entry) => {
                let now = self.clock.steady();
                if self.valid(&entry, key, max_age, now) {
                    level.counters.hits.add(1);
                    self.counters.hits.add(1);
                    return Peeked::Hit(Found { entry, source: level.layer.source(), now });
                }
            }
            Peek::Miss => {}
            Peek::Ask => return Peeked::Unasked,
        }
        level.counters.misses.add(1);
        Peeked::Miss
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

    /// Takes the versions that a load beginning now is stored under, without asking any layer for the value.
    pub(crate) async fn tickets(&self, items: &[Item]) -> Vec<Ticket> {
        let mut tickets = self.snapshots(items);
        for (at, level) in self.levels.iter().enumerate() {
            if let Some(shared) = level.layer.shared() {
                let all: Vec<usize> = (0..items.len()).collect();
                for (i, reply) in Self::read(level, shared, items, &all).await {
                    tickets[i].tokens[at] = Some(reply.tokens);
                }
            }
        }
        tickets
    }

    fn snapshots(&self, items: &[Item]) -> Vec<Ticket> {
        items
            .iter()
            .map(|item| Ticket {
                snapshot: self.stamps.snapshot(&item.names),
                tokens: self.levels.iter().map(|_| None).collect(),
            })
            .collect()
    }

    async fn read(
        level: &Level,
        shared: &dyn SharedLayer,
        items: &[Item],
        wanted: &[usize],
    ) -> Vec<(usize, SharedReply)> {
        let reads: Vec<SharedRead<'_>> = wanted
            .iter()
            .map(|i| {
                let item = &items[*i];
                SharedRead {
                    key: &item.key,
                    names: &item.names,
                    ttl: item.max_age.full.max(item.max_age.empty),
                }
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

    /// Looks several values up, layer by layer: a shared layer is asked once for all that are still missing. Hits are
    /// written to the layers above. `skip` is the number of layers that [`peek`](Self::peek) has asked already.
    pub(crate) async fn look_up(&self, items: &[Item], skip: usize) -> Vec<Looked> {
        // Before anything else: what is loaded from here on counts as loaded under these versions.
        let mut tickets = self.snapshots(items);
        let mut found: Vec<Option<Found>> = items.iter().map(|_| None).collect();
        for (at, level) in self.levels.iter().enumerate().skip(skip) {
            let wanted: Vec<usize> = (0..items.len()).filter(|i| found[*i].is_none()).collect();
            if wanted.is_empty() {
                break;
            }
            let answers = match level.layer.shared() {
                Some(shared) => self.ask_shared(level, shared, items, &wanted, &mut tickets, at).await,
                None => self.ask_local(level, items, &wanted).await,
            };
            for (i, entry) in wanted.into_iter().zip(answers) {
                if let Some(entry) = entry {
                    self.fill(&items[i], &entry, &tickets[i], at).await;
                    let source = level.layer.source();
                    found[i] = Some(Found { entry, source, now: self.clock.steady() });
                }
            }
        }
        found
            .into_iter()
            .zip(tickets)
            .map(|(found, ticket)| match found {
                Some(found) => {
                    self.counters.hits.add(1);
                    Looked::Hit(found)
                }
                None => {
                    self.counters.misses.add(1);
                    Looked::Miss(ticket)
                }
            })
            .collect()
    }

    async fn ask_local(&self, level: &Level, items: &[Item], wanted: &[usize]) -> Vec<Option<Entry>> {
        let mut answers = Vec::with_capacity(wanted.len());
        for i in wanted {
            let item = &items[*i];
            let entry = match level.layer.peek(item.key.lookup()) {
                Peek::Hit(entry) => Some(entry),
                Peek::Miss => None,
                Peek::Ask => Self::guarded(level, "get", level.layer.get(&item.key)).await.flatten(),
            };
            let now = self.clock.steady();
            let valid = entry.filter(|entry| self.valid(entry, item.key.lookup(), item.max_age, now));
            if valid.is_some() {
                level.counters.hits.add(1)
            } else {
                level.counters.misses.add(1)
            }
            answers.push(valid);
        }
        answers
    }

    async fn ask_shared(
        &self,
        level: &Level,
        shared: &dyn SharedLayer,
        items: &[Item],
        wanted: &[usize],
        tickets: &mut [Ticket],
        at: usize,
    ) -> Vec<Option<Entry>> {
        let mut answers: Vec<Option<Entry>> = wanted.iter().map(|_| None).collect();
        for (i, reply) in Self::read(level, shared, items, wanted).await {
            let entry = self.open(&items[i], &reply, &tickets[i].snapshot);
            tickets[i].tokens[at] = Some(reply.tokens);
            if let Some(place) = wanted.iter().position(|wanted| *wanted == i) {
                answers[place] = entry;
            }
        }
        for answer in &answers {
            if answer.is_some() { level.counters.hits.add(1) } else { level.counters.misses.add(1) }
        }
        answers
    }

    /// The entry of stored bytes, if they are readable, fresh, and stored under the tokens that are current now.
    fn open(&self, item: &Item, reply: &SharedReply, snapshot: &Snapshot) -> Option<Entry> {
        let bytes = reply.bytes.as_ref()?;
        let opened = Envelope::open(bytes).filter(|(envelope, _)| envelope.codec == item.codec.id as u8);
        let Some((envelope, body)) = opened else {
            self.counters.undecodable.add(1);
            return None;
        };
        let current = item.names.iter().zip(&reply.tokens);
        let same = envelope.stamps.len() == item.names.len()
            && current
                .zip(&envelope.stamps)
                .all(|((name, token), stamp)| *stamp == (name_hash(name.as_str()), *token));
        let (wall, now) = (self.clock.wall(), self.clock.steady());
        if !same || envelope.deadline <= wall {
            return None;
        }
        let (Some(age), Some(payload)) = (wall.checked_sub(envelope.loaded_at), (item.codec.decode)(&body))
        else {
            self.counters.undecodable.add(1);
            return None;
        };
        let longest = item.max_age.of(payload.empty);
        if age >= longest {
            return None;
        }
        // Never longer than this reader's own policy, whatever the clock of the writer said.
        let remaining = (envelope.deadline - wall).min(longest - age);
        let times = (now.saturating_sub(age), now.saturating_add(remaining));
        Some(Entry::new(&item.key, payload, item.codec, Some(body), times, snapshot.clone()))
    }

    /// Stores a loaded value for `ttl` milliseconds: in-process layers before this returns, shared ones in a task.
    pub(crate) async fn store(
        self: &Arc<Self>,
        item: Item,
        payload: Payload,
        ttl: u64,
        ticket: Ticket,
    ) -> Entry {
        let now = self.clock.steady();
        let times = (now, now.saturating_add(ttl));
        let entry = Entry::new(&item.key, payload, item.codec, None, times, ticket.snapshot.clone());
        for level in self.levels.iter().filter(|level| level.layer.shared().is_none()) {
            self.set(level, &item, &entry).await;
        }
        if ticket.tokens.iter().any(Option::is_some) {
            let (chain, running, entry) = (Arc::clone(self), self.tasks.start(), entry.clone());
            tokio::spawn(async move {
                for (at, level) in chain.levels.iter().enumerate() {
                    if let (Some(shared), Some(tokens)) = (level.layer.shared(), &ticket.tokens[at]) {
                        chain.write(level, shared, &item, &entry, tokens).await;
                    }
                }
                drop(running);
            });
        }
        entry
    }

    async fn set(&self, level: &Level, item: &Item, entry: &Entry) {
        if Self::guarded(level, "set", level.layer.set(&item.key, entry)).await.is_some() {
            level.counters.sets.add(1);
        }
    }

    async fn write(
        &self,
        level: &Level,
        shared: &dyn SharedLayer,
        item: &Item,
        entry: &Entry,
        tokens: &[Token],
    ) {
        let (now, wall) = (self.clock.steady(), self.clock.wall());
        let Some(ttl) = entry.deadline().checked_sub(now).filter(|ttl| *ttl > 0) else { return };
        let Some(body) = entry.encoded() else {
            tracing::debug!(
                layer = level.layer.name(),
                "a value could not be encoded; it stays in this process"
            );
            return;
        };
        let envelope = Envelope {
            codec: entry.codec().id as u8,
            empty: entry.is_empty(),
            loaded_at: wall.saturating_sub(now.saturating_sub(entry.loaded_at())),
            deadline: wall.saturating_add(ttl),
            stamps: item
                .names
                .iter()
                .map(|name| name_hash(name.as_str()))
                .zip(tokens.iter().copied())
                .collect(),
        };
        let bytes = envelope.seal(body);
        let write = [SharedWrite { key: &item.key, bytes: &bytes, ttl, names: &item.names }];
        if Self::guarded(level, "write", shared.write(&write)).await.is_some() {
            level.counters.sets.add(1);
        }
    }

    /// Writes a hit to the layers above the one that had it.
    async fn fill(&self, item: &Item, entry: &Entry, ticket: &Ticket, below: usize) {
        for (at, level) in self.levels.iter().enumerate().take(below) {
            match (level.layer.shared(), &ticket.tokens[at]) {
                (None, _) => self.set(level, item, entry).await,
                (Some(shared), Some(tokens)) => self.write(level, shared, item, entry, tokens).await,
                (Some(_), None) => {}
            }
        }
    }

    /// Makes everything invalid that depends on one of the names: first in the shared layers, then here.
    ///
    /// Runs in a task of its own, so that dropping the returned future does not stop it half-way.
    pub(crate) async fn invalidate(self: &Arc<Self>, names: Vec<StampName>) {
        let (chain, running) = (Arc::clone(self), self.tasks.start());
        let task = tokio::spawn(async move {
            chain.invalidate_here(&names).await;
            drop(running);
        });
        // A failure of the task is a shutdown of the runtime: nobody reads any more.
        let _ = task.await;
    }

    /// As [`invalidate`](Self::invalidate), for callers that run in a task of their own already.
    pub(crate) async fn invalidate_here(&self, names: &[StampName]) {
        if names.is_empty() {
            return;
        }
        let shared =
            self.levels.iter().filter_map(|level| level.layer.shared().map(|shared| (level, shared)));
        join_all(shared.map(|(level, shared)| Self::guarded(level, "invalidate", shared.invalidate(names))))
            .await;
        // Last: a reader that starts after the shared tokens are gone, and sees the old version here, would otherwise
        // store what it read before the write under the new version.
        self.stamps.bump(names);
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
        for shared in self.levels.iter().filter_map(|level| level.layer.shared()) {
            shared.connect().await?;
        }
        Ok(())
    }

    /// Lets the shared layers go.
    pub(crate) fn close(&self) {
        self.levels.iter().filter_map(|level| level.layer.shared()).for_each(SharedLayer::close);
    }

    pub(crate) fn stats(&self) -> CacheStats {
        CacheStats::of(&self.counters)
    }

    pub(crate) fn layer_count(&self) -> usize {
        self.levels.len()
    }

    pub(crate) fn layer_stats(&self, at: usize) -> Option<LayerStats> {
        let level = self.levels.get(at)?;
        Some(LayerStats::of(level.layer.name(), level.layer.source(), &level.counters, level.layer.usage()))
    }
}
