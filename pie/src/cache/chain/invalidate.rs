//! Making things invalid: shared tokens first, then what is here. Every future runs on when its caller goes away.

use std::sync::Arc;
use std::time::Duration;

use futures_util::future::join_all;

use super::Chain;
use crate::cache::commits::Pending;
use crate::cache::glob;
use crate::cache::stamps::StampName;
use crate::task;

/// How long a write waits for those that it followed: one whose connection hangs must not hold up all that come after it.
const LONGEST_WAIT: Duration = Duration::from_secs(5);

impl Chain {
    /// Makes everything invalid that depends on one of the names: first in the shared layers, then here.
    ///
    /// Runs in a task of its own, so that dropping the returned future does not stop it half-way.
    pub(crate) async fn invalidate(self: &Arc<Self>, names: Vec<StampName>) {
        let (chain, running) = (Arc::clone(self), self.tasks.start());
        // A failure of the task is a shutdown of the runtime: nobody reads any more.
        task::spawn(async move {
            chain.invalidate_here(&names).await;
            drop(running);
        })
        .await;
    }

    /// As [`invalidate`](Self::invalidate), for callers that run in a task of their own already.
    pub(crate) async fn invalidate_here(&self, names: &[StampName]) {
        if names.is_empty() {
            return;
        }
        self.invalidations.add(1);
        tracing::debug!(names = names.len(), "invalidating");
        if mistake!(BumpFirst) {
            self.stamps.bump(names);
        }
        let shared =
            self.levels().iter().filter_map(|level| level.layer.shared().map(|shared| (level, shared)));
        join_all(
            shared.map(|(level, shared)| Self::guarded(level, "invalidate", |_| shared.invalidate(names))),
        )
        .await;
        pause!();
        // Last: a reader that starts after the shared tokens are gone, and sees the old version here, would otherwise
        // store what it read before the write under the new version.
        if !mistake!(BumpFirst) {
            self.end_here(names);
        }
    }

    /// Says that a write that touched these names may be permanent from now on; before it is sent.
    pub(crate) fn pending(&self, names: &[StampName]) -> Pending {
        self.commits.enter(&self.stamps, names)
    }

    /// Invalidates what a write touched that is permanent now, or may be; returns when those that it followed on its rows have done so as
    /// well. For callers that run in a task of their own.
    pub(crate) async fn settle(&self, pending: Option<Pending>, names: &[StampName]) {
        if names.is_empty() {
            return;
        }
        let before = self.commits.before(&self.stamps, names, pending.as_ref());
        let pending = pending.unwrap_or_else(|| self.pending(names));
        self.invalidate_here(names).await;
        // Before it waits itself: nobody waits for one that waits.
        drop(pending);
        if before.is_empty() {
            return;
        }
        let all = join_all(before.into_iter().map(|mut other| async move {
            // An error says that it is through.
            let _ = other.changed().await;
        }));
        if task::timeout(LONGEST_WAIT, all).await.is_none() {
            tracing::warn!(
                "a write returns before an earlier one of its rows has invalidated what it touched"
            );
        }
    }

    /// Counts the local versions of names up.
    pub(super) fn end_here(&self, names: &[StampName]) {
        if !mistake!(NoOwnBump) {
            self.stamps.bump(names);
        }
    }

    /// Makes every value of a scope invalid whose logical key matches a pattern, with Redis' rules: in the shared layers,
    /// then what is stored and what is being loaded here. In a task of its own.
    pub(crate) async fn invalidate_pattern(self: &Arc<Self>, scope: &str, pattern: &str) {
        self.invalidations.add(1);
        tracing::debug!("invalidating by a pattern");
        let (chain, running) = (Arc::clone(self), self.tasks.start());
        let (scope, pattern) = (scope.to_owned(), pattern.to_owned());
        task::spawn(async move {
            let shared =
                chain.levels().iter().filter_map(|level| level.layer.shared().map(|shared| (level, shared)));
            join_all(shared.map(|(level, shared)| {
                Self::guarded(level, "invalidate_pattern", |_| shared.invalidate_pattern(&scope, &pattern))
            }))
            .await;
            pause!();
            chain.sweep(&scope, &pattern);
            drop(running);
        })
        .await;
    }

    /// Ends what matches a pattern in this process: what is being loaded, then what is stored.
    pub(crate) fn sweep(&self, scope: &str, pattern: &str) {
        let wanted = |name: &str| {
            let (within, name) = StampName::parts_of(name);
            within == scope
                && name
                    .strip_prefix("k:")
                    .is_some_and(|key| glob::matches(pattern.as_bytes(), key.as_bytes()))
        };
        // In this order: what is stored while the layers are walked was being loaded before.
        if !mistake!(GlobIgnoresFlights) {
            self.stamps.bump(&self.flights.names(|name| wanted(name.as_str())));
        }
        for level in self.levels().iter().filter(|level| level.layer.shared().is_none()) {
            let mut names = Vec::new();
            let all = level.at_once("visit", |layer| {
                layer.visit(&mut |entry| {
                    if wanted(entry.name()) {
                        names.push(StampName::from_text(entry.name()));
                    }
                })
            });
            if all != Some(true) {
                self.stamps.bump_epoch();
            }
            self.stamps.bump(&names);
        }
    }
}
