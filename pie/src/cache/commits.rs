//! Writes that may be permanent already and whose invalidation is not through yet.
//!
//! A write ends what its own old and new values name. Where one write moves a row from `a` to `b` and the next from `b` to `c`, only the
//! first ends `a`: were the second to return before the first has done so, a read of `a` that begins then would find the row as it was before
//! both. So a write returns only when those that it followed on one of its rows have ended what they touched. Nobody waits for a write
//! that has not been sent to be committed, and nobody waits for one that is waiting.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::sync::watch;

use super::stamps::{StampName, Stamps};

/// All such writes of an engine.
#[derive(Debug, Default)]
pub(crate) struct Commits(Mutex<All>);

#[derive(Debug, Default)]
struct All {
    next: u64,
    pending: BTreeMap<u64, (Rows, watch::Receiver<()>)>,
}

/// The rows that a write touched, as hashes of their names: two that are equal by chance cost a wait.
#[derive(Debug, Default)]
struct Rows {
    keys: Vec<u64>,
    tables: Vec<u64>,
    /// Nobody knows which rows of the tables.
    whole: bool,
    /// Nobody knows which tables.
    everything: bool,
}

impl Rows {
    fn new(stamps: &Stamps, names: &[StampName]) -> Self {
        let mut rows = Self::default();
        for name in names {
            let hash = || stamps.hash(name.as_ref());
            match name.parts().1.split_once(':') {
                Some(("k", _)) => rows.keys.push(hash()),
                Some(("w", _)) => rows.tables.push(hash()),
                Some(("f", _)) => rows.whole = true,
                Some(_) => {}
                None => rows.everything = true,
            }
        }
        rows.keys.sort_unstable();
        rows
    }

    fn share(&self, other: &Self) -> bool {
        let (few, many) = if self.keys.len() < other.keys.len() { (self, other) } else { (other, self) };
        self.everything
            || other.everything
            || ((self.whole || other.whole) && self.tables.iter().any(|table| other.tables.contains(table)))
            || few.keys.iter().any(|key| many.keys.binary_search(key).is_ok())
    }
}

/// A write that others wait for until this is dropped.
#[derive(Debug)]
pub(crate) struct Pending {
    commits: Arc<Commits>,
    number: u64,
    _running: watch::Sender<()>,
}

impl Commits {
    fn lock(&self) -> MutexGuard<'_, All> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// A write of rows with these names may be permanent from now on.
    pub(crate) fn enter(self: &Arc<Self>, stamps: &Stamps, names: &[StampName]) -> Pending {
        let rows = Rows::new(stamps, names);
        let (running, watcher) = watch::channel(());
        let mut all = self.lock();
        let number = all.next;
        all.next += 1;
        all.pending.insert(number, (rows, watcher));
        drop(all);
        Pending { commits: Arc::clone(self), number, _running: running }
    }

    /// The writes, besides this one, that touched rows with these names, each to be waited for.
    pub(crate) fn before(
        &self,
        stamps: &Stamps,
        names: &[StampName],
        own: Option<&Pending>,
    ) -> Vec<watch::Receiver<()>> {
        let all = self.lock();
        if all.pending.len() == usize::from(own.is_some()) {
            return Vec::new();
        }
        let rows = Rows::new(stamps, names);
        all.pending
            .iter()
            .filter(|(number, (others, _))| {
                own.is_none_or(|own| own.number != **number) && rows.share(others)
            })
            .map(|(_, (_, watcher))| watcher.clone())
            .collect()
    }
}

impl Drop for Pending {
    fn drop(&mut self) {
        self.commits.lock().pending.remove(&self.number);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn names(texts: &[&str]) -> Vec<StampName> {
        texts.iter().map(|text| StampName::new("pie:", text)).collect()
    }

    #[test]
    fn writes_that_share_a_row_or_may_share_one_wait_and_no_others_do() {
        let (stamps, commits) = (Stamps::with_bits(4), Arc::new(Commits::default()));
        let waits = |texts: &[&str]| commits.before(&stamps, &names(texts), None).len();
        let row = commits.enter(&stamps, &names(&["k:user:1", "k:user:email:a", "w:users"]));
        assert_eq!(waits(&["k:user:1", "w:users"]), 1);
        assert_eq!(waits(&["k:user:2", "w:users"]), 0);
        assert_eq!(waits(&["f:user", "f:users", "w:users"]), 1);
        assert_eq!(waits(&["f:order", "f:orders", "w:orders"]), 0);
        assert_eq!(waits(&["n"]), 1);
        assert_eq!(commits.before(&stamps, &names(&["k:user:1"]), Some(&row)).len(), 0);
        let family = commits.enter(&stamps, &names(&["f:user", "f:users", "w:users"]));
        assert_eq!(waits(&["k:user:2", "w:users"]), 1);
        assert_eq!(waits(&["k:user:1", "w:users"]), 2);
        drop((row, family));
        assert_eq!(waits(&["n"]), 0);
    }

    #[tokio::test]
    async fn whoever_waits_goes_on_when_the_other_is_through_however_it_ended() {
        let (stamps, commits) = (Stamps::with_bits(4), Arc::new(Commits::default()));
        let pending = commits.enter(&stamps, &names(&["k:user:1"]));
        let mut before = commits.before(&stamps, &names(&["k:user:1"]), None);
        assert!(before[0].has_changed().is_ok());
        drop(pending);
        assert!(before[0].changed().await.is_err());
    }
}
