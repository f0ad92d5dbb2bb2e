//! Invalidations that could not be sent yet.

use std::collections::BTreeMap;
use std::sync::{Mutex, MutexGuard, PoisonError};

use crate::cache::stamps::StampName;

/// How many are kept by name; beyond it they become those of their families, then of the namespace.
pub(super) const MAX_PENDING: usize = 10_000;

#[derive(Debug, Default)]
struct Names {
    /// Each name with the number of the failure that left it. One that failed again while it was being sent has another number
    /// then, and stays.
    names: BTreeMap<StampName, u64>,
    failures: u64,
}

/// What is unsent: nothing in Redis is trusted before it is sent. Bounded.
#[derive(Debug, Default)]
pub(super) struct Pending(Mutex<Names>);

impl Pending {
    fn lock(&self) -> MutexGuard<'_, Names> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn all(&self) -> Vec<(StampName, u64)> {
        self.lock().names.iter().map(|(name, failure)| (name.clone(), *failure)).collect()
    }

    /// How often something was left unsent.
    pub(super) fn failures(&self) -> u64 {
        self.lock().failures
    }

    pub(super) fn len(&self) -> u64 {
        self.lock().names.len() as u64
    }

    pub(super) fn remember(&self, names: &[StampName]) {
        let mut pending = self.lock();
        pending.failures += 1;
        let failure = pending.failures;
        pending.names.extend(names.iter().map(|name| (name.clone(), failure)));
        let mut collapse = |to: fn(&StampName) -> StampName| {
            if pending.names.len() > MAX_PENDING {
                pending.names = pending.names.keys().map(|name| (to(name), failure)).collect();
            }
            pending.names.len() > MAX_PENDING
        };
        if collapse(|name| name.family().unwrap_or_else(|| name.clone())) {
            collapse(StampName::namespace);
            tracing::warn!(
                "too many unsent invalidations: the whole namespace is dropped when Redis is back"
            );
        }
    }

    pub(super) fn forget(&self, sent: &[(StampName, u64)]) {
        let mut pending = self.lock();
        for (name, failure) in sent {
            if pending.names.get(name) == Some(failure) {
                pending.names.remove(name);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn name(text: &str) -> StampName {
        StampName::new("pie:", text)
    }

    fn names(pending: &Pending) -> Vec<StampName> {
        pending.all().into_iter().map(|(name, _)| name).collect()
    }

    #[test]
    fn too_many_become_those_of_their_families_then_of_the_namespace() {
        let pending = Pending::default();
        let many = |kind: &str| -> Vec<StampName> {
            (0..=MAX_PENDING).map(|i| name(&format!("{kind}{i}"))).collect()
        };
        pending.remember(&many("k:user:")[..10]);
        assert_eq!(pending.len(), 10);
        pending.remember(&many("k:user:"));
        assert_eq!(names(&pending), [name("f:user")]);
        pending.remember(&many("i:users.status="));
        pending.remember(&[name("t:x")]);
        assert_eq!(names(&pending), [name("f:user"), name("f:users"), name("t:x")]);
        pending.remember(&many("t:"));
        assert_eq!(names(&pending), [name("n")]);
    }

    #[test]
    fn a_name_that_failed_while_it_was_being_sent_stays() {
        let pending = Pending::default();
        pending.remember(&[name("k:a"), name("k:c")]);
        let sent = pending.all();
        pending.remember(&[name("k:b")]);
        pending.remember(&[name("k:c")]);
        pending.forget(&sent);
        assert_eq!(names(&pending), [name("k:b"), name("k:c")], "neither was part of what was sent");
    }
}
