//! How long things take, counted in buckets without a lock.

use std::fmt;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

/// Each doubling of the time has this many buckets, as a power of two.
const FINE: u32 = 3;
/// Times of 2^37 microseconds (38 hours) and more are one bucket.
const COUNT: usize = 280;

/// Times, as counts in buckets that are an eighth of their power of two wide.
pub(crate) struct Histogram {
    buckets: Box<[AtomicU64]>,
    sum: AtomicU64,
    max: AtomicU64,
}

impl Default for Histogram {
    fn default() -> Self {
        Self {
            buckets: (0..COUNT).map(|_| AtomicU64::new(0)).collect(),
            sum: AtomicU64::new(0),
            max: AtomicU64::new(0),
        }
    }
}

impl fmt::Debug for Histogram {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.latency().fmt(f)
    }
}

/// The bucket of a time in microseconds.
fn bucket(micros: u64) -> usize {
    let small = 1 << FINE;
    if micros < small {
        return usize::try_from(micros).unwrap_or(0);
    }
    let power = 63 - micros.leading_zeros();
    let within = (micros >> (power - FINE)) & (small - 1);
    let at = u64::from(power - FINE + 1) * small + within;
    usize::try_from(at).unwrap_or(COUNT).min(COUNT - 1)
}

/// The greatest time of a bucket, in microseconds.
fn last_of(bucket: usize) -> u64 {
    let (bucket, small) = (bucket as u64, 1_u64 << FINE);
    if bucket < small {
        return bucket;
    }
    let shift = bucket / small - 1;
    ((small + bucket % small + 1) << shift) - 1
}

impl Histogram {
    /// Counts a time.
    pub(crate) fn record(&self, time: Duration) {
        let micros = u64::try_from(time.as_micros()).unwrap_or(u64::MAX);
        if let Some(bucket) = self.buckets.get(bucket(micros)) {
            bucket.fetch_add(1, Ordering::Relaxed);
        }
        self.sum.fetch_add(micros, Ordering::Relaxed);
        self.max.fetch_max(micros, Ordering::Relaxed);
    }

    /// What was counted so far.
    pub(crate) fn latency(&self) -> Latency {
        Self::merged([self])
    }

    /// What several counted together.
    pub(crate) fn merged<'h>(all: impl IntoIterator<Item = &'h Self>) -> Latency {
        let (mut counts, mut sum, mut max) = ([0_u64; COUNT], 0_u64, 0_u64);
        for one in all {
            for (count, bucket) in counts.iter_mut().zip(&one.buckets) {
                *count += bucket.load(Ordering::Relaxed);
            }
            sum = sum.saturating_add(one.sum.load(Ordering::Relaxed));
            max = max.max(one.max.load(Ordering::Relaxed));
        }
        let count: u64 = counts.iter().sum();
        let quantile = |percent: u64| {
            // The smallest time that this part of all does not exceed.
            let rank = (count * percent).div_ceil(100).max(1);
            let mut seen = 0;
            let bucket = counts.iter().position(|count| {
                seen += count;
                seen >= rank
            });
            Duration::from_micros(bucket.map_or(0, last_of).min(max))
        };
        Latency {
            count,
            mean: Duration::from_micros(sum.checked_div(count).unwrap_or(0)),
            p50: quantile(50),
            p90: quantile(90),
            p99: quantile(99),
            max: Duration::from_micros(max),
        }
    }
}

/// How long something took, many times: from a histogram whose buckets are an eighth of their power of two wide, so a
/// percentile is at most 12.5 % too high.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
#[non_exhaustive]
pub struct Latency {
    /// How many times.
    pub count: u64,
    /// The mean.
    pub mean: Duration,
    /// Half of the times were at most this long.
    pub p50: Duration,
    /// 90 % of the times were at most this long.
    pub p90: Duration,
    /// 99 % of the times were at most this long.
    pub p99: Duration,
    /// The longest.
    pub max: Duration,
}

impl fmt::Display for Latency {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { p50, p90, p99, max, .. } = self;
        write!(f, "p50 {p50:.1?}, p90 {p90:.1?}, p99 {p99:.1?}, max {max:.1?}")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_time_has_a_bucket_that_is_at_most_an_eighth_too_wide() {
        let mut before = None;
        for micros in (0..200_000).chain((20..37).map(|power| (1 << power) + 12_345)) {
            let at = bucket(micros);
            assert!(before <= Some(at), "buckets grow with the time");
            before = Some(at);
            let last = last_of(at);
            assert!(last >= micros && last <= micros + micros / 8, "{micros} in a bucket up to {last}");
        }
        assert_eq!(bucket(u64::MAX), COUNT - 1);
    }

    #[test]
    fn percentiles_are_those_of_the_times() {
        let times = Histogram::default();
        assert_eq!(times.latency(), Latency::default());
        (1..=1_000).for_each(|ms| times.record(Duration::from_millis(ms)));
        let latency = times.latency();
        assert_eq!((latency.count, latency.max), (1_000, Duration::from_secs(1)));
        assert_eq!(latency.mean, Duration::from_micros(500_500));
        for (percentile, wanted) in [(latency.p50, 500), (latency.p90, 900), (latency.p99, 990)] {
            let wanted = Duration::from_millis(wanted);
            assert!(percentile >= wanted && percentile <= wanted.mul_f64(1.125), "{percentile:?}");
        }
    }
}
