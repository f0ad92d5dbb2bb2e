//! Counters, and what they look like from outside.

use std::fmt;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

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

/// The counters of a chain: a look-up counts once, whichever layer answered.
#[derive(Debug, Default)]
pub(crate) struct Counters {
    pub(crate) hits: Counter,
    pub(crate) misses: Counter,
    pub(crate) loads: Counter,
    pub(crate) joins: Counter,
    pub(crate) stale: Counter,
    pub(crate) undecodable: Counter,
    pub(crate) oversized: Counter,
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
    pub(crate) hits: Counter,
    pub(crate) misses: Counter,
    pub(crate) sets: Counter,
    pub(crate) errors: Counter,
}

impl LayerCounters {
    /// Counts a question and whether it was answered.
    pub(crate) fn asked(&self, hit: bool) {
        if hit { self.hits.add(1) } else { self.misses.add(1) }
    }
}

fn rate(hits: u64, total: u64) -> f64 {
    #[allow(clippy::cast_precision_loss, reason = "a rate for people")]
    if total == 0 { 0.0 } else { hits as f64 / total as f64 * 100.0 }
}

/// What the cache of an engine did since it was built: one look-up counts once, whichever layer answered.
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
    /// Loads from the database on behalf of look-ups; less than misses where one load answers several, more where values
    /// are loaded anew while they are served.
    pub loads: u64,
    /// Look-ups that waited for a load which another look-up had begun.
    pub joins: u64,
    /// Answers past their time to live, as `stale`, `stale_if_error` or a soft timeout allow them. They count as hits.
    pub stale: u64,
    /// Stored values that could not be read: foreign or broken bytes, or another version's.
    pub undecodable: u64,
    /// Values that were not stored because they are greater than `max_entry_size`.
    pub oversized: u64,
}

impl CacheStats {
    pub(crate) fn of(counters: &Counters) -> Self {
        let (hits, misses) = (counters.hits.get(), counters.misses.get());
        let total = hits + misses;
        Self {
            total,
            hits,
            misses,
            hit_rate: rate(hits, total),
            loads: counters.loads.get(),
            joins: counters.joins.get(),
            stale: counters.stale.get(),
            undecodable: counters.undecodable.get(),
            oversized: counters.oversized.get(),
        }
    }
}

impl fmt::Display for CacheStats {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { total, hits, misses, hit_rate, loads, .. } = self;
        write!(f, "{total} look-ups, {hits} hits, {misses} misses, hit rate {hit_rate:.1} %, {loads} loads")
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
    /// Entries it holds, as far as it knows.
    pub keys: u64,
    /// Bytes they take, as far as it knows.
    pub size: u64,
}

impl LayerStats {
    pub(crate) fn of(
        name: &'static str,
        source: Source,
        counters: &LayerCounters,
        usage: LayerUsage,
    ) -> Self {
        let (hits, misses) = (counters.hits.get(), counters.misses.get());
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
            keys: usage.entries,
            size: usage.bytes,
        }
    }
}

impl fmt::Display for LayerStats {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { name, total, hits, hit_rate, sets, errors, keys, size, .. } = self;
        write!(
            f,
            "{name}: asked {total}, hits {hits} ({hit_rate:.1} %), sets {sets}, errors {errors}, {keys} keys, {size} bytes"
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rates_are_percent_and_nothing_is_divided_by_zero() {
        let counters = Counters::default();
        assert_eq!(CacheStats::of(&counters).hit_rate, 0.0);
        counters.hits.add(3);
        counters.misses.add(1);
        let stats = CacheStats::of(&counters);
        assert_eq!((stats.total, stats.hit_rate), (4, 75.0));
    }
}
