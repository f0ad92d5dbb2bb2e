//! Storing: layers of this process at once, shared ones behind the caller's back, nothing that was invalidated meanwhile.

use std::sync::Arc;
use std::sync::atomic::Ordering;

use super::{Chain, Item, Level, MAX_BATCH, Single, Ticket, Which};
use crate::cache::entry::{Entry, Payload, Times};
use crate::cache::layer::{SharedLayer, SharedWrite};
use crate::cache::stamps::StampName;
use crate::codec::{Envelope, Token};
use crate::task;

/// A value to store: for so many milliseconds, under the versions of its ticket.
pub(crate) type Storing = (Arc<Item>, Payload, u64, Ticket);

/// A value that is stored here and goes to shared layers, with the versions that it is stored under.
pub(crate) type Sharing = (Arc<Item>, Entry, Ticket);

impl Chain {
    /// Stores values, each for its milliseconds, and waits until shared layers have them or failed to take them.
    pub(crate) async fn store_everywhere(self: &Arc<Self>, values: Single<Storing>) {
        let mut stored = Vec::new();
        for (item, payload, ttl, ticket) in values {
            stored.extend(self.store_here(&item, payload, ttl, ticket).await);
        }
        if let Some(writing) = self.share(stored) {
            task::spawn(writing).await;
        }
    }

    /// Stores a value for so many milliseconds in the layers of this process; gives it back where shared ones are to have it.
    #[allow(
        clippy::manual_async_fn,
        reason = "an `async fn` has each of its arguments twice, and each load waits with room for them"
    )]
    pub(crate) fn store_here(
        self: &Arc<Self>,
        item: &Arc<Item>,
        payload: Payload,
        ttl: u64,
        ticket: Ticket,
    ) -> impl Future<Output = Option<Sharing>> + Send {
        async move {
            self.expire_if_due();
            let size = (item.codec.weigh)(&*payload.value);
            if size > self.config.max_entry {
                self.oversized(item, size);
                return None;
            }
            let (now, limits) = (self.clock.steady(), item.limits);
            let deadline = now.saturating_add(ttl);
            let keep_until = deadline.saturating_add(limits.window()).min(now.saturating_add(limits.max_age));
            let times = Times { loaded_at: now, deadline, keep_until: keep_until.max(now) };
            let entry = match mistake!(LateSnapshot) {
                true => Entry::new(&item.key, payload, size, times, &self.stamps.snapshot(item.names())),
                false => Entry::new(&item.key, payload, size, times, &ticket.snapshot),
            };
            // What was invalidated meanwhile is not worth the place of what is valid.
            if self.stamps.holds(entry.snapshot()) {
                pause!();
                for level in self.levels().iter().filter(|level| level.layer.shared().is_none()) {
                    if !self.set_at_once(level, item, &entry) {
                        self.set(level, item, &entry).await;
                    }
                }
            }
            let shared = ticket.tokens.layers.iter().any(Option::is_some);
            shared.then(|| (Arc::clone(item), entry, ticket))
        }
    }

    /// What is left to do for values that shared layers are to have.
    pub(crate) fn share(
        self: &Arc<Self>,
        stored: Vec<Sharing>,
    ) -> Option<impl Future<Output = ()> + Send + use<>> {
        if stored.is_empty() {
            return None;
        }
        let (chain, running) = (Arc::clone(self), self.tasks.start());
        Some(async move {
            for (at, level) in chain.levels().iter().enumerate() {
                let Some(shared) = level.layer.shared() else { continue };
                let batch: Vec<(&Arc<Item>, &Entry, &[Token])> = stored
                    .iter()
                    .filter_map(|(item, entry, ticket)| {
                        Some((item, entry, &**ticket.tokens.layers[at].as_ref()?))
                    })
                    .collect();
                chain.write(level, shared, &batch).await;
            }
            drop(stored);
            drop(running);
        })
    }

    pub(super) fn oversized(&self, item: &Item, size: usize) {
        self.group(item).oversized.add(1);
        if !self.oversized_said.swap(true, Ordering::Relaxed) {
            tracing::warn!(
                size,
                limit = self.config.max_entry,
                "a value is greater than `max_entry_size` and is not cached; this is said once"
            );
        }
    }

    /// Stores a value in the memory layer, which does not wait; whether the layer is that.
    fn set_at_once(&self, level: &Level, item: &Item, entry: &Entry) -> bool {
        let Some(memory) = &level.memory else { return false };
        let set = level.at_once("set", |_| memory.put(item.key.lookup().hash(), entry.clone()));
        level.counters.sets.add(u64::from(set.is_some()));
        true
    }

    /// Stores a value in any other layer of this process. In a box, as there are few.
    fn set<'s>(
        &'s self,
        level: &'s Level,
        item: &'s Item,
        entry: &'s Entry,
    ) -> impl Future<Output = ()> + Send + Unpin {
        Box::pin(async move {
            let set = self.limited(level, "set", |layer| layer.set(&item.key, entry)).await;
            level.counters.sets.add(u64::from(set.is_some()));
        })
    }

    /// Writes entries to a shared layer, each under its tokens, in one call.
    pub(super) async fn write(
        &self,
        level: &Arc<Level>,
        shared: &dyn SharedLayer,
        batch: &[(&Arc<Item>, &Entry, &[Token])],
    ) {
        let (now, wall) = (self.clock.steady(), self.clock.wall());
        let mut sealed: Vec<(&Arc<Item>, bytes::Bytes, u64)> = Vec::with_capacity(batch.len());
        for (item, entry, tokens) in batch {
            let Some(ttl) = entry.keep_until().checked_sub(now).filter(|ttl| *ttl > 0) else { continue };
            let Some(body) = (item.codec.encode)(&**entry.value()).map(bytes::Bytes::from) else {
                let layer = level.layer.name();
                tracing::debug!(layer, "a value could not be encoded; it stays in this process");
                continue;
            };
            if body.len() > self.config.max_entry {
                self.oversized(item, body.len());
                continue;
            }
            let late;
            let tokens = if mistake!(LateToken) {
                late = Self::read_one(level, item).await;
                late.as_ref().map_or(*tokens, |reply| &*reply.tokens)
            } else {
                *tokens
            };
            let loaded_at = wall.saturating_sub(now.saturating_sub(entry.loaded_at()));
            let envelope = Envelope {
                codec: item.codec.id as u8,
                empty: entry.is_empty(),
                loaded_at,
                deadline: loaded_at.saturating_add(entry.deadline().saturating_sub(entry.loaded_at())),
                stamps: item.names().iter().map(StampName::wire_hash).zip(tokens.iter().copied()).collect(),
            };
            sealed.push((item, envelope.seal(&body), ttl));
        }
        for part in sealed.chunks(MAX_BATCH) {
            let writes: Vec<SharedWrite<'_>> = part
                .iter()
                .map(|(item, bytes, ttl)| SharedWrite {
                    key: &item.key,
                    bytes,
                    ttl: *ttl,
                    names: item.names(),
                })
                .collect();
            if Self::guarded(level, "write", |_| shared.write(&writes)).await.is_some() {
                level.counters.sets.add(writes.len() as u64);
            }
        }
    }

    /// Writes a hit to the layers above the one that had it.
    pub(super) async fn fill(
        &self,
        item: &Arc<Item>,
        entry: &Entry,
        ticket: &Ticket,
        below: usize,
        which: Which,
    ) {
        for (at, level) in self.levels().iter().enumerate().take(below) {
            match (level.layer.shared(), &ticket.tokens.layers[at]) {
                (None, _)
                    if matches!(which, Which::All | Which::Below) && self.stamps.holds(entry.snapshot()) =>
                {
                    if !self.set_at_once(level, item, entry) {
                        self.set(level, item, entry).await;
                    }
                }
                (Some(shared), Some(tokens)) => {
                    Box::pin(self.write(level, shared, &[(item, entry, tokens)])).await;
                }
                (None, _) | (Some(_), None) => {}
            }
        }
    }
}
