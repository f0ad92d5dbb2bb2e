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

    /// A call was made that has this much time, until `by`: sees to it that there is a timer that ends no later.
    pub(super) fn hold(&self, by: Deadline, budget: Duration) {
        let after = |instant: Deadline| {
            u64::try_from(instant.saturating_duration_since(self.since).as_millis()).unwrap_or(u64::MAX)
        };
        let (end, until) = (after(by), self.until.load(Ordering::Relaxed));
        if until > end.saturating_sub(u64::try_from(budget.as_millis()).unwrap_or(u64::MAX)) {
            return;
        }
        if self.until.compare_exchange(until, end, Ordering::Relaxed, Ordering::Relaxed).is_ok() {
            drop(tokio::spawn(tokio::time::sleep_until(by)));
        }
    }
}
