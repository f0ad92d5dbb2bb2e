//! Whose values are counted together: each model, each cached function, and the values by hand.
//!
//! Who is counted is known at compile time, so a hit finds its counters by a number, without a lock and without a hash:
//! each group has a static identity that draws its number at the first use, and each engine a table by that number.

use std::fmt;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use super::latency::{Histogram, Latency};
use super::names::Others;
use super::stats::{Counter, Striped, rate};
use crate::error::Result;
use crate::query::policy::Effective;

/// How many groups an engine tells apart; what comes later is counted as one.
const MOST: usize = 1_024;

/// The identity of a group: one `static` for each model and each cached function of a program.
#[derive(Debug)]
pub struct GroupId {
    name: &'static str,
    kind: GroupKind,
    /// The number drawn at the first use; 0 before that.
    slot: AtomicUsize,
}

/// What a group is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum GroupKind {
    /// A model.
    Model,
    /// A cached function.
    Function,
    /// Values set or loaded by hand.
    Manual,
    /// Everything beyond the first thousand groups.
    Other,
}

impl GroupKind {
    /// The kind in a word: `model`, `function`, `manual`, `other`.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Model => "model",
            Self::Function => "function",
            Self::Manual => "manual",
            Self::Other => "other",
        }
    }
}

impl fmt::Display for GroupKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}

/// The next number to draw; 0 means none, and the last is for all that are too many.
static NEXT: AtomicUsize = AtomicUsize::new(1);
/// Who drew which number.
static DRAWN: [OnceLock<&'static GroupId>; MOST] = [const { OnceLock::new() }; MOST];

/// The group of values by hand.
pub(crate) static MANUAL: GroupId = GroupId::new("by hand", GroupKind::Manual);
static OTHERS: GroupId = GroupId::new("others", GroupKind::Other);

impl GroupId {
    pub(crate) const fn new(name: &'static str, kind: GroupKind) -> Self {
        Self { name, kind, slot: AtomicUsize::new(0) }
    }

    /// The identity of a model.
    #[doc(hidden)]
    #[must_use]
    pub const fn model(name: &'static str) -> Self {
        Self::new(name, GroupKind::Model)
    }

    /// The number that it has in this process.
    #[inline]
    pub(crate) fn slot(&'static self) -> usize {
        match self.slot.load(Ordering::Relaxed) {
            0 => self.draw(),
            slot => slot,
        }
    }

    /// Whether no other group has its number.
    #[inline]
    pub(crate) fn is_alone(&'static self) -> bool {
        self.slot() < MOST - 1
    }

    #[cold]
    fn draw(&'static self) -> usize {
        // A number that was drawn twice at once is lost; that costs a place in a table.
        let drawn = NEXT.fetch_add(1, Ordering::Relaxed).clamp(1, MOST - 1);
        match self.slot.compare_exchange(0, drawn, Ordering::Relaxed, Ordering::Relaxed) {
            Ok(_) => {
                let _ = DRAWN[drawn].set(if drawn < MOST - 1 { self } else { &OTHERS });
                drawn
            }
            Err(first) => first,
        }
    }
}

/// How many times a group has what its rows have in common.
const COPIES: usize = 8;

/// The counters of one group in one engine: a look-up counts once, whichever layer answered.
#[derive(Debug)]
pub(crate) struct Group {
    id: &'static GroupId,
    /// What reads have that say nothing of their own about the cache.
    plain: OnceLock<Effective>,
    /// What a row depends on besides its own name, for the scope that was asked for first. Several times the same: each is counted by few
    /// threads.
    row_names: [OnceLock<(Box<str>, Arc<Others>)>; COPIES],
    /// Look-ups that the first layer answered at once.
    pub(crate) hits_at_once: Striped,
    /// The other look-ups that a layer answered.
    pub(crate) later_hits: Striped,
    pub(crate) misses: Counter,
    pub(crate) loads: Counter,
    pub(crate) failed_loads: Counter,
    pub(crate) joins: Counter,
    pub(crate) stale: Counter,
    pub(crate) undecodable: Counter,
    pub(crate) oversized: Counter,
    pub(crate) load_times: Histogram,
}

impl Group {
    fn new(id: &'static GroupId) -> Self {
        Self {
            id,
            plain: OnceLock::new(),
            row_names: std::array::from_fn(|_| OnceLock::new()),
            hits_at_once: Striped::default(),
            later_hits: Striped::default(),
            misses: Counter::default(),
            loads: Counter::default(),
            failed_loads: Counter::default(),
            joins: Counter::default(),
            stale: Counter::default(),
            undecodable: Counter::default(),
            oversized: Counter::default(),
            load_times: Histogram::default(),
        }
    }

    pub(crate) fn name(&self) -> &'static str {
        self.id.name
    }

    pub(crate) fn kind(&self) -> GroupKind {
        self.id.kind
    }

    /// Look-ups that a layer answered.
    pub(crate) fn hits(&self) -> u64 {
        self.hits_at_once.get() + self.later_hits.get()
    }

    /// The policy of reads that say nothing of their own, made once; `None` for a group of several models or functions.
    /// Whether the cache is switched on is not in it.
    pub(crate) fn plain(&self, policy: impl FnOnce() -> Effective) -> Option<&Effective> {
        matches!(self.id.kind, GroupKind::Model | GroupKind::Function).then(|| self.plain.get_or_init(policy))
    }

    /// What a row depends on besides its own name, in this scope; made once for the first scope that asks.
    pub(crate) fn row_names(
        &self,
        scope: &str,
        make: impl FnOnce() -> Result<Others>,
    ) -> Result<Arc<Others>> {
        let copy = &self.row_names[Striped::of_thread() % COPIES];
        match copy.get() {
            _ if self.id.kind != GroupKind::Model => make().map(Arc::new),
            Some((of, names)) if **of == *scope => Ok(Arc::clone(names)),
            Some(_) => make().map(Arc::new),
            None => {
                let made = Arc::new(make()?);
                let _ = copy.set((scope.into(), Arc::clone(&made)));
                Ok(made)
            }
        }
    }

    /// Counts a load that did not fail.
    pub(crate) fn loaded(&self, time: Duration) {
        self.load_times.record(time);
        #[cfg(feature = "metrics")]
        super::publish::load_time(self.name(), time);
    }

    pub(crate) fn stats(&self) -> GroupStats {
        let (hits, misses) = (self.hits(), self.misses.get());
        GroupStats {
            name: self.id.name,
            kind: self.id.kind,
            total: hits + misses,
            hits,
            misses,
            hit_rate: rate(hits, hits + misses),
            loads: self.loads.get(),
            failed_loads: self.failed_loads.get(),
            joins: self.joins.get(),
            stale: self.stale.get(),
            undecodable: self.undecodable.get(),
            oversized: self.oversized.get(),
            load_latency: self.load_times.latency(),
        }
    }
}

/// The groups of one engine, by their numbers.
pub(crate) struct Groups(Box<[OnceLock<Box<Group>>]>);

impl Default for Groups {
    fn default() -> Self {
        Self((0..MOST).map(|_| OnceLock::new()).collect())
    }
}

impl fmt::Debug for Groups {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list().entries(self.all().map(Group::name)).finish()
    }
}

impl Groups {
    /// The counters of a group. Neither locks nor allocates after the first call.
    pub(crate) fn of(&self, id: &'static GroupId) -> &Group {
        let slot = id.slot();
        self.0[slot].get_or_init(|| Box::new(Group::new(if slot < MOST - 1 { id } else { &OTHERS })))
    }

    /// The counters of the group of this number, if one drew it.
    pub(crate) fn at(&self, slot: usize) -> Option<&Group> {
        DRAWN.get(slot)?.get().map(|id| self.of(id))
    }

    /// All that were used so far, in the order of their first use in the program.
    pub(crate) fn all(&self) -> impl Iterator<Item = &Group> {
        self.0.iter().filter_map(|group| group.get().map(|group| &**group))
    }
}

/// What the cache did for one model, one cached function, or the values by hand, since the engine was built.
///
/// A look-up counts once, whichever layer answered.
#[derive(Debug, Clone, Copy, PartialEq)]
#[non_exhaustive]
pub struct GroupStats {
    /// The model's or the function's name.
    pub name: &'static str,
    /// Which of them it is.
    pub kind: GroupKind,
    /// Look-ups: hits and misses.
    pub total: u64,
    /// Look-ups that a layer answered.
    pub hits: u64,
    /// Look-ups that the database had to answer.
    pub misses: u64,
    /// Hits in percent of all look-ups; 0 without any.
    pub hit_rate: f64,
    /// Loads on behalf of look-ups.
    pub loads: u64,
    /// Loads that failed.
    pub failed_loads: u64,
    /// Look-ups that waited for a load which another look-up had begun.
    pub joins: u64,
    /// Answers past their time to live.
    pub stale: u64,
    /// Stored values that could not be read.
    pub undecodable: u64,
    /// Values that were not stored because they are greater than `max_entry_size`.
    pub oversized: u64,
    /// How long loads took that did not fail.
    pub load_latency: Latency,
}

/// What the layers of this process hold for one model, one cached function, or the values by hand.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub struct Holding {
    /// The name of the layer.
    pub layer: &'static str,
    /// The model's or the function's name.
    pub name: &'static str,
    /// Which of them it is.
    pub kind: GroupKind,
    /// How many entries.
    pub keys: u64,
    /// How many bytes they take, about.
    pub size: u64,
    /// How many of the entries were invalidated, or are past their time, and wait to be replaced or freed.
    pub dead: u64,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn groups_are_told_apart_and_engines_too() {
        static A: GroupId = GroupId::model("A");
        static B: GroupId = GroupId::model("B");
        let (one, two) = (Groups::default(), Groups::default());
        (0..2).for_each(|_| _ = one.of(&A).later_hits.add_one());
        one.of(&B).hits_at_once.add_one();
        (0..5).for_each(|_| _ = two.of(&A).later_hits.add_one());
        assert_eq!((one.of(&A).hits(), one.of(&B).hits(), two.of(&A).hits()), (2, 1, 5));
        assert_eq!((one.all().count(), two.all().count()), (2, 1));
    }

    #[test]
    fn what_is_too_many_is_counted_as_one() {
        static LATE: GroupId =
            GroupId { name: "Late", kind: GroupKind::Model, slot: AtomicUsize::new(MOST - 1) };
        let groups = Groups::default();
        groups.of(&LATE).later_hits.add_one();
        let stats = groups.of(&LATE).stats();
        assert_eq!((stats.name, stats.kind, stats.hits), ("others", GroupKind::Other, 1));
    }
}
