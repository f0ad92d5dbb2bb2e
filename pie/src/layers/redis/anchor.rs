//! One timer that outlasts many calls, so that theirs wake nobody.
//!
//! Each call has its deadline, and takes it back when it is answered in time. A thread of the runtime that goes to sleep in between,
//! with no timer left, sleeps without an end, and the next call has to wake it to say when it should: two system calls and a change
//! of threads, for a timer that will not be needed either. While a timer that ends earlier is running nobody has to be woken.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use super::wire::Deadline;

/// Keeps a timer running while calls are made, one for each time budget at most.
#[derive(Debug)]
pub(super) struct Anchor {
    since: Deadline,
    /// When the timer ends, in milliseconds.
    until: AtomicU64,
}

impl Anchor {
    pub(super) fn new() -> Self {
        Self { since: Deadline::now(), until: AtomicU64::new(0) }
    }

    /// A lookup begins that has this much time, or a call that has more: sees to it that there is a timer that ends no later.
    pub(super) fn hold(&self, budget: Duration) {
        let now = Deadline::now();
        if self.is_due(now, budget) {
            drop(tokio::spawn(tokio::time::sleep_until(now + budget)));
        }
    }

    /// Whether the last timer has ended, and it is up to the caller to have the next one, for this long.
    fn is_due(&self, now: Deadline, budget: Duration) -> bool {
        let now = milliseconds(now.saturating_duration_since(self.since));
        let (until, next) = (self.until.load(Ordering::Relaxed), now.saturating_add(milliseconds(budget)));
        until <= now && self.until.compare_exchange(until, next, Ordering::Relaxed, Ordering::Relaxed).is_ok()
    }
}

fn milliseconds(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn there_is_one_timer_for_each_budget() {
        let (anchor, budget) = (Anchor::new(), Duration::from_millis(100));
        let due: Vec<u64> = (0..1_000)
            .step_by(30)
            .filter(|at| anchor.is_due(anchor.since + Duration::from_millis(*at), budget))
            .collect();
        // Each begins with the first call after the end of the one before.
        assert_eq!(due, [0, 120, 240, 360, 480, 600, 720, 840, 960]);
    }
}
