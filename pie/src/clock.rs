//! Time and chance as values, so that tests control both.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

/// Tells the time: a steady count for deadlines in this process, and the time of day for those other processes read.
///
/// The default is the system's; tests inject [`ManualClock`] and move it by hand.
#[derive(Debug, Clone)]
pub(crate) struct Clock(Source);

#[derive(Debug, Clone)]
enum Source {
    /// When the count began, in milliseconds of [`monotonic`].
    System(u64),
    Manual(Arc<AtomicU64>),
}

impl Default for Clock {
    fn default() -> Self {
        Self(Source::System(monotonic()))
    }
}

/// Milliseconds that only ever grow, from anywhere.
///
/// On Linux the time of the last tick of the kernel, 1 to 10 milliseconds ago, which is read in a few nanoseconds: every hit asks for it.
#[cfg(target_os = "linux")]
#[inline]
fn monotonic() -> u64 {
    let now = rustix::time::clock_gettime(rustix::time::ClockId::MonotonicCoarse);
    // Neither is negative, and the sum overflows in half a billion years.
    now.tv_sec.cast_unsigned().wrapping_mul(1_000).wrapping_add(now.tv_nsec.cast_unsigned() / 1_000_000)
}

#[cfg(not(target_os = "linux"))]
fn monotonic() -> u64 {
    static BEGUN: std::sync::OnceLock<std::time::Instant> = std::sync::OnceLock::new();
    millis(BEGUN.get_or_init(std::time::Instant::now).elapsed())
}

impl Clock {
    /// Milliseconds that only ever grow, unrelated to the time of day.
    #[inline(always)]
    pub(crate) fn steady(&self) -> u64 {
        match &self.0 {
            Source::System(start) => monotonic().saturating_sub(*start),
            Source::Manual(now) => now.load(Ordering::SeqCst),
        }
    }

    /// Milliseconds since 1970 UTC.
    pub(crate) fn wall(&self) -> u64 {
        match &self.0 {
            Source::System(_) => SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, millis),
            Source::Manual(now) => now.load(Ordering::SeqCst),
        }
    }
}

/// A clock that stands still until it is moved; `Engine::builder().clock(&clock)` takes it.
///
/// # Examples
///
/// ```
/// use std::time::Duration;
///
/// let clock = pie::ManualClock::new();
/// clock.advance(Duration::from_secs(60));
/// ```
#[derive(Debug, Clone)]
pub struct ManualClock(Arc<AtomicU64>);

impl Default for ManualClock {
    fn default() -> Self {
        Self::new()
    }
}

impl ManualClock {
    /// A clock that starts at the time of day it is now.
    #[must_use]
    pub fn new() -> Self {
        let now = SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, millis);
        Self(Arc::new(AtomicU64::new(now)))
    }

    /// Moves the clock forward.
    pub fn advance(&self, by: Duration) {
        self.0.fetch_add(millis(by), Ordering::SeqCst);
    }
}

impl From<&ManualClock> for Clock {
    fn from(clock: &ManualClock) -> Self {
        Self(Source::Manual(Arc::clone(&clock.0)))
    }
}

/// Whole milliseconds, at most what a `u64` holds.
pub(crate) fn millis(duration: Duration) -> u64 {
    duration.as_secs().saturating_mul(1_000).saturating_add(u64::from(duration.subsec_millis()))
}

/// A time to live in milliseconds, drawn uniformly from `ttl - jitter` to `ttl + jitter`, both included.
///
/// The jitter counts as at most the time to live, and the result is at least one millisecond.
pub(crate) fn draw_ttl(ttl: Duration, jitter: Duration, rng: &mut fastrand::Rng) -> u64 {
    let ttl = millis(ttl);
    let jitter = millis(jitter).min(ttl);
    rng.u64(ttl - jitter..=ttl.saturating_add(jitter)).max(1)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn jitter_stays_in_bounds_and_reaches_both_sides() {
        let mut rng = fastrand::Rng::with_seed(1);
        let draws: Vec<u64> = (0..10_000)
            .map(|_| draw_ttl(Duration::from_millis(600), Duration::from_millis(120), &mut rng))
            .collect();
        assert!(draws.iter().all(|ttl| (480..=720).contains(ttl)));
        assert!(draws.iter().any(|ttl| *ttl < 500) && draws.iter().any(|ttl| *ttl > 700));
        let mean = draws.iter().sum::<u64>() / 10_000;
        assert!((590..=610).contains(&mean), "symmetric around the ttl, not {mean}");
    }

    #[test]
    fn jitter_above_the_ttl_never_gives_zero_or_overflows() {
        let mut rng = fastrand::Rng::with_seed(2);
        for _ in 0..1_000 {
            let ttl = draw_ttl(Duration::from_millis(2), Duration::from_secs(9), &mut rng);
            assert!((1..=4).contains(&ttl));
        }
        assert!(draw_ttl(Duration::MAX, Duration::MAX, &mut rng) >= 1);
        assert_eq!(draw_ttl(Duration::ZERO, Duration::ZERO, &mut rng), 1);
    }

    #[test]
    fn a_manual_clock_moves_only_by_hand() {
        let manual = ManualClock::new();
        let clock = Clock::from(&manual);
        let before = (clock.steady(), clock.wall());
        manual.advance(Duration::from_secs(5));
        assert_eq!((clock.steady(), clock.wall()), (before.0 + 5_000, before.1 + 5_000));
    }
}
