//! Counters, and what they look like from outside.

use std::fmt;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use super::groups::{Group, GroupStats, Groups};
use super::health::Health;
use super::latency::{Histogram, Latency};
use super::layer::LayerUsage;
use crate::query::Source;

/// One number that many threads count up.
#[derive(Debug, Default)]
pub(crate) struct Counter(AtomicU64);

impl Counter {
    pub(crate) fn add(&self, count: u64) {
        self.0.fetch_add(count, Ordering::Relaxed);
    }

    pub(crate) fn get(&self) -> u64 {
        self.0.load(Ordering::Relaxed)
    }

    pub(crate) fn set(&self, value: u64) {
        self.0.store(value, Ordering::Relaxed);
    }

    /// Makes it at least this.
    pub(crate) fn raise(&self, value: u64) {
        self.0.fetch_max(value, Ordering::Relaxed);
    }
}

/// One number that is counted up at each hit: each thread counts in a line of its own, without a locked instruction and
/// without waiting for the others. Threads beyond the first few share the last line.
#[derive(Debug, Default)]
pub(crate) struct Striped([Line; LINES]);

const LINES: usize = 17;

/// Two lines of a cache: some processors fetch them in pairs.
#[derive(Debug, Default)]
#[repr(align(128))]
struct Line(AtomicU64);

/// Which lines have an owner.
static OWNED: [AtomicBool; LINES - 1] = [const { AtomicBool::new(false) }; LINES - 1];

/// The line of a thread; given back when the thread ends.
struct Mine(usize);

impl Mine {
    fn claim() -> Self {
        // Acquire: what the one before counted is seen.
        let free = OWNED.iter().position(|owned| !owned.swap(true, Ordering::Acquire));
        Self(free.unwrap_or(LINES - 1))
    }
}

impl Drop for Mine {
    fn drop(&mut self) {
        if let Some(owned) = OWNED.get(self.0) {
            owned.store(false, Ordering::Release);
        }
    }
}

thread_local! {
    static MINE: Mine = Mine::claim();
}

impl Striped {
    /// The line of this thread: small numbers, the same for the whole life of a thread, and for few others.
    #[inline(always)]
    pub(crate) fn of_thread() -> usize {
        // While a thread ends it has none.
        MINE.try_with(|mine| mine.0).unwrap_or(LINES - 1)
    }

    /// Counts one; gives how many this thread, or those that share its line, counted before.
    #[inline(always)]
    pub(crate) fn add_one(&self) -> u64 {
        let mine = Self::of_thread();
        match self.0.get(mine) {
            Some(Line(count)) if mine < LINES - 1 => {
                let before = count.load(Ordering::Relaxed);
                count.store(before + 1, Ordering::Relaxed);
                before
            }
            _ => self.0[LINES - 1].0.fetch_add(1, Ordering::Relaxed),
        }
    }

    pub(crate) fn get(&self) -> u64 {
        self.0.iter().map(|line| line.0.load(Ordering::Relaxed)).sum()
    }
}

/// The counters of what other processes tell.
#[derive(Debug, Default)]
pub(crate) struct MessageCounters {
    pub(crate) received: Counter,
    pub(crate) gaps: Counter,
    pub(crate) detachments: Counter,
    /// In microseconds.
    pub(crate) lag_last: Counter,
    pub(crate) lag_max: Counter,
    pub(crate) lag_sum: Counter,
    pub(crate) lags: Counter,
}

/// The counters of one layer.
#[derive(Debug, Default)]
pub(crate) struct LayerCounters {
    pub(crate) hits: Striped,
    pub(crate) misses: Counter,
    pub(crate) sets: Counter,
    pub(crate) errors: Counter,
    pub(crate) panics: Counter,
    pub(crate) times: Histogram,
}

impl LayerCounters {
    /// Counts a question and whether it was answered.
    pub(crate) fn asked(&self, hit: bool) {
        if hit {
            self.hits.add_one();
        } else {
            self.misses.add(1);
        }
    }
}

/// Hits in percent.
pub(crate) fn rate(hits: u64, total: u64) -> f64 {
    #[allow(clippy::cast_precision_loss, reason = "a rate for people")]
    if total == 0 { 0.0 } else { hits as f64 / total as f64 * 100.0 }
}

/// What the cache of an engine did since it was built: one look-up counts once, whichever layer answered.
///
/// [`Display`](fmt::Display) prints a table: the lines of the original first.
#[derive(Debug, Clone, Copy, PartialEq)]
#[non_exhaustive]
pub struct CacheStats {
    /// Look-ups: hits and misses.
    pub total: u64,
    /// Look-ups that a layer answered.
    pub hits: u64,
    /// Look-ups that the database had to answer.
    pub misses: u64,
    /// Hits in percent of all look-ups; 0 without any.
    pub hit_rate: f64,
    /// Entries in the layers that count theirs; one that two layers hold counts twice.
    pub keys: u64,
    /// Bytes they take, about.
    pub size: u64,
    /// Entries that a layer dropped to make room, or did not admit; not those that expired, were replaced or removed.
    pub evicted_keys: u64,
    /// Loads from the database on behalf of look-ups; less than misses where one load answers several, more where values
    /// are loaded anew while they are served.
    pub loads: u64,
    /// Loads that failed.
    pub failed_loads: u64,
    /// Look-ups that waited for a load which another look-up had begun.
    pub joins: u64,
    /// Answers past their time to live, as `stale`, `stale_if_error` or a soft timeout allow them. They count as hits.
    pub stale: u64,
    /// Stored values that could not be read: foreign or broken bytes, or another version's.
    pub undecodable: u64,
    /// Values that were not stored because they are greater than `max_entry_size`.
    pub oversized: u64,
    /// Invalidations: of writes, of transactions, and by hand.
    pub invalidations: u64,
    /// How long loads took that did not fail.
    pub load_latency: Latency,
}

impl CacheStats {
    pub(crate) fn of(groups: &Groups, layers: &[LayerStats], invalidations: u64) -> Self {
        let sum =
            |counter: fn(&Group) -> &Counter| groups.all().map(|group| counter(group).get()).sum::<u64>();
        let hits = groups.all().map(Group::hits).sum::<u64>();
        let misses = sum(|group| &group.misses);
        let total = hits + misses;
        Self {
            total,
            hits,
            misses,
            hit_rate: rate(hits, total),
            keys: layers.iter().filter_map(|layer| layer.keys).sum(),
            size: layers.iter().filter_map(|layer| layer.size).sum(),
            evicted_keys: layers.iter().map(|layer| layer.evicted_keys).sum(),
            loads: sum(|group| &group.loads),
            failed_loads: sum(|group| &group.failed_loads),
            joins: sum(|group| &group.joins),
            stale: sum(|group| &group.stale),
            undecodable: sum(|group| &group.undecodable),
            oversized: sum(|group| &group.oversized),
            invalidations,
            load_latency: Histogram::merged(groups.all().map(|group| &group.load_times)),
        }
    }
}

impl fmt::Display for CacheStats {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "Cache Statistics:")?;
        writeln!(f, "  Total Requests: {}", self.total)?;
        writeln!(f, "  Hits: {}", self.hits)?;
        writeln!(f, "  Misses: {}", self.misses)?;
        writeln!(f, "  Hit Rate: {:.2}%", self.hit_rate)?;
        writeln!(f, "  Keys: {}", self.keys)?;
        writeln!(f, "  Size: {} bytes", self.size)?;
        writeln!(f, "  Evicted Keys: {}", self.evicted_keys)?;
        writeln!(f, "  Loads: {} ({} failed, {} joined)", self.loads, self.failed_loads, self.joins)?;
        write!(f, "  Invalidations: {}", self.invalidations)?;
        for (name, count) in
            [("Stale Served", self.stale), ("Undecodable", self.undecodable), ("Oversized", self.oversized)]
        {
            if count > 0 {
                write!(f, "\n  {name}: {count}")?;
            }
        }
        if self.load_latency.count > 0 {
            write!(f, "\n  Load Latency: {}", self.load_latency)?;
        }
        Ok(())
    }
}

/// Everything that is counted, at one time; [`Display`](fmt::Display) prints it as tables.
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub struct Report {
    /// All look-ups together.
    pub stats: CacheStats,
    /// The layers, in the order they are asked.
    pub layers: Vec<LayerStats>,
    /// Models, cached functions and values by hand, as far as they were used.
    pub groups: Vec<GroupStats>,
    /// What was heard from other processes.
    pub messages: MessageStats,
    /// How the layers are doing.
    pub health: Health,
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "{}", self.stats)?;
        writeln!(
            f,
            "\n{:<16} {:>9} {:>9} {:>8} {:>8} {:>8} {:>9} {:>12} {:>9}",
            "layer", "asked", "hits", "hit rate", "sets", "errors", "keys", "bytes", "evicted"
        )?;
        let known = |number: Option<u64>| number.map_or_else(|| "-".to_owned(), |number| number.to_string());
        for layer in &self.layers {
            writeln!(
                f,
                "{:<16} {:>9} {:>9} {:>7.1}% {:>8} {:>8} {:>9} {:>12} {:>9}",
                layer.name,
                layer.total,
                layer.hits,
                layer.hit_rate,
                layer.sets,
                layer.errors,
                known(layer.keys),
                known(layer.size),
                layer.evicted_keys
            )?;
        }
        writeln!(
            f,
            "\n{:<16} {:<9} {:>9} {:>9} {:>8} {:>8} {:>8} {:>8} {:>10} {:>10}",
            "of", "kind", "look-ups", "hits", "hit rate", "loads", "joins", "stale", "load p50", "load p99"
        )?;
        for group in &self.groups {
            let time = |time: std::time::Duration| format!("{time:.1?}");
            writeln!(
                f,
                "{:<16} {:<9} {:>9} {:>9} {:>7.1}% {:>8} {:>8} {:>8} {:>10} {:>10}",
                group.name,
                group.kind,
                group.total,
                group.hits,
                group.hit_rate,
                group.loads,
                group.joins,
                group.stale,
                time(group.load_latency.p50),
                time(group.load_latency.p99)
            )?;
        }
        write!(f, "\nother processes: {}", self.messages)?;
        match self.health.layers.iter().any(|layer| layer.shared.is_some()) {
            true => write!(f, "\nhealth: {}", self.health),
            false => Ok(()),
        }
    }
}

/// What was heard from other processes since the engine was built.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub struct MessageStats {
    /// Whether messages arrive: `false` while the connection for them is lost or does not echo. Always `true` without a
    /// layer that hears other processes.
    pub attached: bool,
    /// Messages with invalidations of other processes.
    pub received: u64,
    /// Times that messages were found missing although the connection stood.
    pub gaps: u64,
    /// Times that the connection for messages was lost.
    pub detachments: u64,
    /// Invalidations of this process that could not be sent yet.
    pub unsent: u64,
    /// How long the last message took from its sender to here, by the clocks of both; heartbeats of this process included.
    pub lag: Duration,
    /// The longest that a message took.
    pub max_lag: Duration,
    /// The mean of all.
    pub mean_lag: Duration,
}

impl MessageStats {
    pub(crate) fn of(counters: &MessageCounters, attached: bool, unsent: u64) -> Self {
        let mean = counters.lag_sum.get().checked_div(counters.lags.get()).unwrap_or(0);
        Self {
            attached,
            received: counters.received.get(),
            gaps: counters.gaps.get(),
            detachments: counters.detachments.get(),
            unsent,
            lag: Duration::from_micros(counters.lag_last.get()),
            max_lag: Duration::from_micros(counters.lag_max.get()),
            mean_lag: Duration::from_micros(mean),
        }
    }
}

impl fmt::Display for MessageStats {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { attached, received, unsent, max_lag, .. } = self;
        let state = if *attached { "attached" } else { "detached" };
        write!(f, "{state}, {received} messages, {unsent} unsent, at most {max_lag:?} late")
    }
}

/// What one layer did since the engine was built, and what it holds.
#[derive(Debug, Clone, Copy, PartialEq)]
#[non_exhaustive]
pub struct LayerStats {
    /// The name of the layer.
    pub name: &'static str,
    /// How its answers are marked.
    pub source: Source,
    /// Questions it was asked.
    pub total: u64,
    /// Questions it answered with a value that was still valid.
    pub hits: u64,
    /// Questions it did not answer, or with a value that was expired or invalidated.
    pub misses: u64,
    /// Hits in percent of all questions; 0 without any.
    pub hit_rate: f64,
    /// Values stored in it.
    pub sets: u64,
    /// Calls of it that failed.
    pub errors: u64,
    /// Those of them that were panics.
    pub panics: u64,
    /// Entries it holds; `None` where it does not count them, as Redis, which others use as well.
    pub keys: Option<u64>,
    /// Bytes they take, about.
    pub size: Option<u64>,
    /// Entries it dropped to make room, or did not admit.
    pub evicted_keys: u64,
    /// How long it took to be asked: shared layers, which have to be waited for.
    pub latency: Latency,
}

impl LayerStats {
    pub(crate) fn of(
        name: &'static str,
        source: Source,
        counters: &LayerCounters,
        peeked: u64,
        usage: LayerUsage,
    ) -> Self {
        let (hits, misses) = (counters.hits.get() + peeked, counters.misses.get());
        let total = hits + misses;
        Self {
            name,
            source,
            total,
            hits,
            misses,
            hit_rate: rate(hits, total),
            sets: counters.sets.get(),
            errors: counters.errors.get(),
            panics: counters.panics.get(),
            keys: usage.entries,
            size: usage.bytes,
            evicted_keys: usage.evicted,
            latency: counters.times.latency(),
        }
    }
}

impl fmt::Display for LayerStats {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { name, total, hits, hit_rate, sets, errors, .. } = self;
        write!(f, "{name}: asked {total}, hits {hits} ({hit_rate:.1} %), sets {sets}, errors {errors}")?;
        if let (Some(keys), Some(size)) = (self.keys, self.size) {
            write!(f, ", {keys} keys, {size} bytes, {} evicted", self.evicted_keys)?;
        }
        if self.latency.count > 0 {
            write!(f, ", {}", self.latency)?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cache::groups::{GroupId, MANUAL};

    #[test]
    fn many_threads_lose_no_count() {
        let counter = Striped::default();
        for _ in 0..3 {
            std::thread::scope(|scope| {
                for _ in 0..2 * LINES {
                    scope.spawn(|| (0..1_000).for_each(|_| _ = counter.add_one()));
                }
            });
        }
        assert_eq!(counter.get(), 3 * 2 * LINES as u64 * 1_000);
    }

    #[test]
    fn rates_are_percent_and_nothing_is_divided_by_zero() {
        let groups = Groups::default();
        assert_eq!(CacheStats::of(&groups, &[], 0).hit_rate, 0.0);
        static MODEL: GroupId = GroupId::model("User");
        groups.of(&MODEL).later_hits.add_one();
        groups.of(&MODEL).hits_at_once.add_one();
        groups.of(&MANUAL).later_hits.add_one();
        groups.of(&MANUAL).misses.add(1);
        let stats = CacheStats::of(&groups, &[], 0);
        assert_eq!((stats.total, stats.hits, stats.hit_rate), (4, 3, 75.0));
    }
}
