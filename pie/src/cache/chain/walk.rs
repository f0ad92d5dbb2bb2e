//! Asking the layers: memory first, a shared layer once for all that is still missing, backfill upwards.

use std::sync::Arc;
use std::time::{Duration, Instant};

use smallvec::smallvec;

use super::{Chain, Found, Item, Level, Single, Ticket, Which};
use crate::cache::entry::{Entry, Times};
use crate::cache::layer::{Peek, SharedRead, SharedReply};
use crate::cache::stamps::{Snapshot, StampName};
use crate::codec::Envelope;
use crate::task;

impl Chain {
    /// Asks a shared layer for some of the items; `None` where it failed.
    pub(super) async fn read(
        level: &Arc<Level>,
        items: &[Arc<Item>],
        wanted: &[usize],
    ) -> Option<Single<(usize, SharedReply)>> {
        let asking = async {
            Some::<Single<SharedReply>>(match wanted {
                [one] => smallvec![Self::read_together(level, &items[*one]).await?],
                _ => Self::call(level, &wanted.iter().map(|i| &items[*i]).collect::<Vec<_>>()).await?.into(),
            })
        };
        let replies = match wanted.iter().map(|i| items[*i].limits.patience).min() {
            None | Some(u64::MAX) => asking.await?,
            // The layer itself may wait longer; that is no trouble of its.
            Some(patience) => Box::pin(task::timeout(Duration::from_millis(patience), asking)).await??,
        };
        let fits =
            |i: usize, reply: &SharedReply| reply.failed || reply.tokens.len() == items[i].names().len();
        Some(wanted.iter().copied().zip(replies).filter(|(i, reply)| fits(*i, reply)).collect())
    }

    /// One call of a shared layer.
    pub(super) async fn call(level: &Level, items: &[&Arc<Item>]) -> Option<Vec<SharedReply>> {
        let shared = level.layer.shared()?;
        let reads: Single<SharedRead<'_>> = items
            .iter()
            .map(|item| SharedRead { key: &item.key, names: item.names(), ttl: item.limits.life() })
            .collect();
        let start = Instant::now();
        let replies = Self::guarded(level, "read", |_| shared.read(&reads)).await?;
        let took = start.elapsed();
        level.counters.times.record(took);
        #[cfg(feature = "metrics")]
        crate::cache::publish::layer_time(level.layer.name(), took);
        Some(replies)
    }

    /// Looks some of the items up, layer by layer: a shared layer is asked once for all that are still missing. Fresh hits
    /// are written to the layers above; of values past their time the newest is given.
    pub(crate) async fn look_up(
        &self,
        items: &[Arc<Item>],
        wanted: &[usize],
        tickets: &mut [Option<Ticket>],
        which: Which,
    ) -> Single<Option<Found>> {
        let mut best: Single<Option<Found>> = items.iter().map(|_| None).collect();
        for (at, level) in self.levels().iter().enumerate() {
            let missing: Single<usize> = wanted
                .iter()
                .copied()
                .filter(|i| best[*i].as_ref().is_none_or(|found| found.stale))
                .collect();
            if missing.is_empty() {
                break;
            }
            let answers = match level.layer.shared() {
                Some(_) => self.ask_shared(level, items, &missing, tickets, at).await,
                None if which == Which::All => self.ask_local(level, items, &missing, tickets).await,
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
                if at > 0
                    && let Some(ticket) = &tickets[i]
                    && !(found.stale && which == Which::Below)
                {
                    self.fill(&items[i], &found.entry, ticket, at, which).await;
                }
                best[i] = Some(found);
            }
        }
        wanted.iter().map(|i| best[*i].take()).collect()
    }

    pub(super) fn seen(&self, level: &Level, entry: Entry, item: &Item) -> Option<Found> {
        let now = self.clock.steady();
        let fresh = Self::fresh(entry.inner(), item.limits, now);
        let of_use = fresh || Self::stale_within(entry.inner(), item.limits, now, item.limits.window());
        of_use.then(|| Found { entry, source: level.source, now, stale: !fresh })
    }

    pub(super) async fn ask_local(
        &self,
        level: &Level,
        items: &[Arc<Item>],
        wanted: &[usize],
        tickets: &mut [Option<Ticket>],
    ) -> Single<Option<Found>> {
        let mut answers = Single::with_capacity(wanted.len());
        for i in wanted {
            let item = &items[*i];
            let answer = match level.at_once("peek", |layer| layer.peek(item.key.lookup())) {
                Some(Peek::Hit(entry)) => Some(Some(entry)),
                Some(Peek::Miss) => Some(None),
                Some(Peek::Ask) => self.limited(level, "get", |layer| layer.get(&item.key)).await,
                None => None,
            };
            if let (None, Some(ticket)) = (&answer, &mut tickets[*i]) {
                ticket.failed = Some(level.layer.name());
            }
            let entry = answer.flatten();
            if entry.as_ref().is_some_and(|entry| !entry.is_for(item.key.lookup())) {
                level.strange();
            }
            let valid = entry
                .filter(|entry| {
                    self.holds(entry.inner(), item.key.lookup())
                        || (mistake!(StaleAcrossBump) && self.clock.steady() >= entry.deadline())
                })
                .and_then(|entry| self.seen(level, entry, item));
            level.counters.asked(valid.as_ref().is_some_and(|found| !found.stale));
            answers.push(valid);
        }
        answers
    }

    pub(super) async fn ask_shared(
        &self,
        level: &Arc<Level>,
        items: &[Arc<Item>],
        wanted: &[usize],
        tickets: &mut [Option<Ticket>],
        at: usize,
    ) -> Single<Option<Found>> {
        let mut answers: Single<Option<Found>> = wanted.iter().map(|_| None).collect();
        let mut tagged = Vec::new();
        let Some(replies) = Self::read(level, items, wanted).await else {
            for i in wanted {
                if let Some(ticket) = &mut tickets[*i] {
                    ticket.failed = Some(level.layer.name());
                }
                level.counters.asked(false);
            }
            return answers;
        };
        // They come in the order of what was wanted; some may be left out.
        let mut places = wanted.iter().copied().enumerate();
        for (i, reply) in replies {
            let Some((place, _)) = places.find(|(_, wanted)| *wanted == i) else { break };
            let Some(ticket) = &mut tickets[i] else { continue };
            if reply.failed {
                ticket.failed = Some(level.layer.name());
                continue;
            }
            if let Some(tags) = Self::unnamed_tags(&items[i], &reply) {
                tagged.push((place, i, tags));
            }
            answers[place] = self
                .open(&items[i], &reply, &ticket.snapshot)
                .and_then(|entry| self.seen(level, entry, &items[i]));
            if ticket.tokens.layers[at].replace(reply.tokens).is_none() {
                ticket.tokens.unknown -= 1;
            }
        }
        if !tagged.is_empty() {
            for (place, entry) in Box::pin(self.ask_with_tags(level, items, tagged)).await {
                answers[place] = entry;
            }
        }
        for answer in &answers {
            level.counters.asked(answer.as_ref().is_some_and(|found| !found.stale));
        }
        answers
    }

    /// Asks once more for values that depend on tags which their reader did not name.
    pub(super) async fn ask_with_tags(
        &self,
        level: &Arc<Level>,
        items: &[Arc<Item>],
        tagged: Vec<(usize, usize, Vec<Box<str>>)>,
    ) -> Vec<(usize, Option<Found>)> {
        let (mut places, mut whole) = (Vec::new(), Vec::new());
        for (place, i, tags) in tagged {
            let item = &items[i];
            let (scope, _) = item.name().parts();
            let mut others = item.others.to_vec();
            // In the place where the writer has them: after the key's and the family's.
            let after = others.len().min(1);
            others.splice(after..after, tags.iter().map(|tag| StampName::new(scope, &format!("t:{tag}"))));
            places.push(place);
            whole.push(Arc::new(Item {
                key: item.key.clone(),
                others: others.into(),
                limits: item.limits,
                codec: item.codec,
                group: item.group,
            }));
        }
        let tickets: Vec<Ticket> = whole.iter().map(|item| self.ticket(item)).collect();
        let all: Vec<usize> = (0..whole.len()).collect();
        let mut answers = Vec::new();
        for (i, reply) in Self::read(level, &whole, &all).await.unwrap_or_default() {
            let entry = self.open(&whole[i], &reply, &tickets[i].snapshot);
            answers.push((places[i], entry.and_then(|entry| self.seen(level, entry, &whole[i]))));
        }
        answers
    }

    /// The tags of stored bytes that depend on more than the reader named.
    pub(super) fn unnamed_tags(item: &Item, reply: &SharedReply) -> Option<Vec<Box<str>>> {
        let tags = item.codec.tags?;
        let (envelope, body) = Envelope::open(reply.bytes.as_ref()?)?;
        let more = envelope.codec == item.codec.id as u8 && envelope.stamps.len() > item.names().len();
        if more { tags(body) } else { None }
    }

    /// The entry of stored bytes, if they are readable, of use, and stored under the tokens that are current now.
    pub(super) fn open(&self, item: &Item, reply: &SharedReply, snapshot: &Snapshot) -> Option<Entry> {
        let bytes = reply.bytes.as_ref()?;
        let opened = Envelope::open(bytes).filter(|(envelope, _)| envelope.codec == item.codec.id as u8);
        let Some((envelope, body)) = opened else {
            self.group(item).undecodable.add(1);
            return None;
        };
        let current = item.names().iter().zip(&*reply.tokens);
        let same = envelope.stamps.len() == item.names().len()
            && current.zip(&envelope.stamps).all(|((name, token), stamp)| {
                *stamp == (name.wire_hash(), *token)
                    || (mistake!(TagFoldedAway) && name.parts().1.starts_with("t:"))
            });
        if !same {
            return None;
        }
        let (wall, now) = (self.clock.wall(), self.clock.steady());
        let (Some(age), Some(payload)) = (wall.checked_sub(envelope.loaded_at), (item.codec.decode)(body))
        else {
            self.group(item).undecodable.add(1);
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
            self.stamps.snapshot(item.names())
        } else {
            snapshot.clone()
        };
        let weight = (item.codec.weigh)(&*payload.value);
        Some(Entry::new(&item.key, payload, weight, times, &snapshot))
    }
}
