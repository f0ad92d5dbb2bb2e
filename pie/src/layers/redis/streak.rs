//! Whether those who read one key at a time find the token of its name, as a rule.
//!
//! A token has to be there before a load begins. Who expects a miss has the key's own created in the same round trip as the question
//! (`SET … NX GET`): a second command, and a random number of the system, also for each hit. Who has found nothing but tokens for a
//! while asks for it like for any other, and a miss then takes a second round trip: at most one read in so many.

use std::sync::atomic::{AtomicU32, Ordering};

/// How many reads in a row found what they asked for.
#[derive(Debug)]
pub(crate) struct Streak {
    found: AtomicU32,
    /// From how many on it is one.
    long: u32,
}

impl Streak {
    /// A second round trip for one read in 65 at most.
    const LONG: u32 = 64;

    /// One that is long from so many on.
    pub(crate) fn of(long: u32) -> Self {
        Self { found: AtomicU32::new(0), long }
    }

    /// Whether it is long enough to expect that it goes on.
    pub(super) fn is_long(&self) -> bool {
        self.found.load(Ordering::Relaxed) >= self.long
    }

    /// A read found all that it asked for, or did not. Counts about, not exactly: nothing but the number of round trips depends on it.
    pub(super) fn went(&self, on: bool) {
        let found = self.found.load(Ordering::Relaxed);
        // Written only where it changes: all readers share it.
        match on {
            true if found < self.long => self.found.store(found + 1, Ordering::Relaxed),
            false if found > 0 => self.found.store(0, Ordering::Relaxed),
            _ => {}
        }
    }
}

impl Default for Streak {
    fn default() -> Self {
        Self::of(Self::LONG)
    }
}
