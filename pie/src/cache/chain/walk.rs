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

/// What came of the answer of a shared layer.
enum Answered {
    Found(Option<Found>),
    /// The value depends on tags that its reader did not name: it is to be asked for with them.
    Tagged(Vec<Box<str>>),
}

impl Chain {
    /// Asks a shared layer for some of the items; `None` where it failed.
    pub(super) async fn read(
        level: &Arc<Level>,
        items: &[Arc<Item>],
        wanted: &[usize],
    ) -> Option<Single<(usize, SharedReply)>> {
        if let [one] = wanted {
            let reply = Self::read_one(level, &items[*one]).await?;
            return Some(Self::fits(&items[*one], &reply).then_some((*one, reply)).into_iter().collect());
        }
        let all: Vec<&Arc<Item>> = wanted.iter().map(|i| &items[*i]).collect();
        let replies = match all.iter().map(|item| item.limits.patience).min() {
            None | Some(u64::MAX) => Self::call(level, &all).await?,
            Some(patience) => Box::pin(Self::within(patience, Self::call(level, &all))).await?,
        };
        let replies = wanted.iter().copied().zip(replies);
        Some(replies.filter(|(i, reply)| Self::fits(&items[*i], reply)).collect())
    }

    /// The same for one item.
    pub(super) async fn read_one(level: &Arc<Level>, item: &Arc<Item>) -> Option<SharedReply> {
        match item.limits.patience {
            u64::MAX => Self::read_together(level, item).await,
            patience => Box::pin(Self::within(patience, Self::read_together(level, item))).await,
        }
    }

    /// Waits so many milliseconds for an answer at most. The layer itself may wait longer; that is no trouble of its.
    async fn within<T>(patience: u64, asking: impl Future<Output = Option<T>>) -> Option<T> {
        task::timeout(Duration::from_millis(patience), asking).await?
    }

    /// Whether an answer has a token for each name.
    fn fits(item: &Item, reply: &SharedReply) -> bool {
        reply.failed || reply.tokens.len() == item.names().len()
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
        if let [one] = wanted {
            return smallvec![self.look_up_one(&items[*one], tickets[*one].as_mut(), which).await];
        }
        let mut best: Single<Option<Found>> = items.iter().map(|_| None).collect();
        for (at, level) in self.levels().iter().enumerate() {
            let missing: Single<usize> =
                wanted.iter().copied().filter(|i| Self::is_open(best[*i].as_ref())).collect();
            if missing.is_empty() {
                break;
            }
            let answers = match level.shared {
                true => self.ask_shared(level, items, &missing, tickets, at).await,
                false if which == Which::All => self.ask_local(level, items, &missing, tickets).await,
                false => continue,
            };
            if which == Which::Tokens {
                continue;
            }
            for (i, found) in missing.into_iter().zip(answers) {
                let Some(found) = Self::better(found, best[i].as_ref()) else { continue };
                pause!();
                if let Some(ticket) = Self::filling(&found, tickets[i].as_ref(), (at, which)) {
                    self.fill(&items[i], &found.entry, ticket, at, which).await;
                }
                best[i] = Some(found);
            }
        }
        wanted.iter().map(|i| best[*i].take()).collect()
    }

    /// The same for one item.
    #[allow(
        clippy::manual_async_fn,
        reason = "an `async fn` has each of its arguments twice, and each read waits with room for them"
    )]
    pub(crate) fn look_up_one(
        &self,
        item: &Arc<Item>,
        mut ticket: Option<&mut Ticket>,
        which: Which,
    ) -> impl Future<Output = Option<Found>> + Send {
        async move {
            let mut best = None;
            for (at, level) in self.levels().iter().enumerate() {
                if !Self::is_open(best.as_ref()) {
                    break;
                }
                let found = match level.shared {
                    true => self.ask_shared_one(level, item, ticket.as_deref_mut(), at).await,
                    false if which == Which::All => {
                        self.ask_local_one(level, item, ticket.as_deref_mut()).await
                    }
                    false => continue,
                };
                if which == Which::Tokens {
                    continue;
                }
                let Some(found) = Self::better(found, best.as_ref()) else { continue };
                pause!();
                if let Some(ticket) = Self::filling(&found, ticket.as_deref(), (at, which)) {
                    self.fill(item, &found.entry, ticket, at, which).await;
                }
                best = Some(found);
            }
            best
        }
    }

    /// Whether the next layer is asked.
    fn is_open(best: Option<&Found>) -> bool {
        best.is_none_or(|found| found.stale)
    }

    /// What a layer has, if it is better than what those above have.
    fn better(found: Option<Found>, best: Option<&Found>) -> Option<Found> {
        let found = found?;
        let newer = best.is_none_or(|best| best.entry.loaded_at() < found.entry.loaded_at());
        (newer || !found.stale).then_some(found)
    }

    /// What a hit of the layer at a place is written to the layers above under, if it is.
    fn filling<'t>(
        found: &Found,
        ticket: Option<&'t Ticket>,
        (at, which): (usize, Which),
    ) -> Option<&'t Ticket> {
        // Who asks below memory may have claimed the value past its time that is in it.
        let claimed = found.stale && which == Which::Below;
        ticket.filter(|_| at > 0 && !claimed)
    }

    pub(super) fn seen(&self, level: &Level, entry: Entry, item: &Item) -> Option<Found> {
        let now = self.clock.steady();
        let fresh = Self::fresh(entry.inner(), item.limits, now);
        let of_use = fresh || Self::stale_within(entry.inner(), item.limits, now, item.limits.window());
        of_use.then(|| Found { entry, source: level.source, now, stale: !fresh })
    }

    async fn ask_local(
        &self,
        level: &Level,
        items: &[Arc<Item>],
        wanted: &[usize],
        tickets: &mut [Option<Ticket>],
    ) -> Single<Option<Found>> {
        let mut answers = Single::with_capacity(wanted.len());
        for i in wanted {
            answers.push(self.ask_local_one(level, &items[*i], tickets[*i].as_mut()).await);
        }
        answers
    }

    async fn ask_local_one(
        &self,
        level: &Level,
        item: &Arc<Item>,
        ticket: Option<&mut Ticket>,
    ) -> Option<Found> {
        let answer = match level.at_once("peek", |layer| layer.peek(item.key.lookup())) {
            Some(Peek::Hit(entry)) => Some(Some(entry)),
            Some(Peek::Miss) => Some(None),
            // In a box: layers that wait are rare, and the futures of all reads would be as large.
            Some(Peek::Ask) => Box::pin(self.limited(level, "get", |layer| layer.get(&item.key))).await,
            None => None,
        };
        if let (None, Some(ticket)) = (&answer, ticket) {
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
        valid
    }

    async fn ask_shared(
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
                Self::unanswered(level, tickets[*i].as_mut());
            }
            return answers;
        };
        // They come in the order of what was wanted; some may be left out.
        let mut places = wanted.iter().copied().enumerate();
        for (i, reply) in replies {
            let Some((place, _)) = places.find(|(_, wanted)| *wanted == i) else { break };
            match self.answered(level, &items[i], tickets[i].as_mut(), at, reply) {
                Answered::Found(found) => answers[place] = found,
                Answered::Tagged(tags) => tagged.push((place, i, tags)),
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

    #[allow(
        clippy::manual_async_fn,
        reason = "an `async fn` has each of its arguments twice, and each read waits with room for them"
    )]
    fn ask_shared_one(
        &self,
        level: &Arc<Level>,
        item: &Arc<Item>,
        ticket: Option<&mut Ticket>,
        at: usize,
    ) -> impl Future<Output = Option<Found>> + Send {
        async move {
            let Some(reply) = Self::read_one(level, item).await else {
                Self::unanswered(level, ticket);
                return None;
            };
            let answered = match Self::fits(item, &reply) {
                true => self.answered(level, item, ticket, at, reply),
                false => Answered::Found(None),
            };
            let found = match answered {
                Answered::Found(found) => found,
                Answered::Tagged(tags) => {
                    let items = std::slice::from_ref(item);
                    let entries = Box::pin(self.ask_with_tags(level, items, vec![(0, 0, tags)])).await;
                    entries.into_iter().find_map(|(_, found)| found)
                }
            };
            level.counters.asked(found.as_ref().is_some_and(|found| !found.stale));
            found
        }
    }

    /// A shared layer did not answer for an item.
    fn unanswered(level: &Level, ticket: Option<&mut Ticket>) {
        if let Some(ticket) = ticket {
            ticket.failed = Some(level.layer.name());
        }
        level.counters.asked(false);
    }

    /// What the answer of a shared layer means for an item: its tokens are those that a load would be stored under.
    fn answered(
        &self,
        level: &Level,
        item: &Item,
        ticket: Option<&mut Ticket>,
        at: usize,
        reply: SharedReply,
    ) -> Answered {
        let Some(ticket) = ticket else { return Answered::Found(None) };
        if reply.failed {
            ticket.failed = Some(level.layer.name());
            return Answered::Found(None);
        }
        let answer = match Self::unnamed_tags(item, &reply) {
            Some(tags) => Answered::Tagged(tags),
            None => {
                let entry = self.open(item, &reply, &ticket.snapshot);
                Answered::Found(entry.and_then(|entry| self.seen(level, entry, item)))
            }
        };
        if ticket.tokens.layers[at].replace(reply.tokens).is_none() {
            ticket.tokens.unknown -= 1;
        }
        answer
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
                others: Arc::new(others.into_iter().collect()),
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
