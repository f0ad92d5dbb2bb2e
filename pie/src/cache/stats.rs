//! Counters, and what they look like from outside.

use std::fmt;
use std::sync::atomic::{AtomicU64, Ordering};

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
}

/// The counters of a chain: a look-up counts once, whichever layer answered.
#[derive(Debug, Default)]
pub(crate) struct Counters {
    pub(crate) hits: Counter,
    pub(crate) misses: Counter,
    pub(crate) loads: Counter,
    pub(crate) undecodable: Counter,
}

/// The counters of one layer.
#[derive(Debug, Default)]
pub(crate) struct LayerCounters {
    pub(crate) hits: Counter,
    pub(crate) misses: Counter,
    pub(crate) sets: Counter,
    pub(crate) errors: Counter,
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
    /// Loads from the database on behalf of look-ups; less than misses where one load answers several.
    pub loads: u64,
    /// Stored values that could not be read: foreign or broken bytes, or another version's.
    pub undecodable: u64,
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
            undecodable: counters.undecodable.get(),
        }
    }
}

impl fmt::Display for CacheStats {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { total, hits, misses, hit_rate, loads, .. } = self;
        write!(f, "{total} look-ups, {hits} hits, {misses} misses, hit rate {hit_rate:.1} %, {loads} loads")
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
