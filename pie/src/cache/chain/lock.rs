//! The lock of a load across processes.

use std::sync::Arc;

use super::{Chain, Item};
use crate::cache::layer::{BoxFuture, Lock};
use crate::codec::Token;
use crate::task;

/// The outcome of taking a lock.
pub(crate) enum Locked {
    /// Until dropped.
    Mine(Locking),
    /// Another process has it; the future ends when it gives it back.
    Theirs(BoxFuture<'static, ()>),
    /// No layer could say.
    Nobodys,
}

/// A lock that is given back when dropped.
pub(crate) struct Locking {
    chain: Arc<Chain>,
    item: Arc<Item>,
    at: usize,
    token: Token,
}

impl Drop for Locking {
    fn drop(&mut self) {
        let (chain, item, at, token) = (Arc::clone(&self.chain), Arc::clone(&self.item), self.at, self.token);
        // Counted: an engine that closes gives its locks back first.
        let running = chain.tasks.start();
        task::spawn_if_possible(async move {
            let level = &chain.levels()[at];
            if let Some(shared) = level.layer.shared() {
                Chain::guarded(level, "unlock", |_| shared.unlock(&item.key, token)).await;
            }
            drop(running);
        });
    }
}

impl Chain {
    /// Takes the lock of a load, for `lease` milliseconds at most, in the first shared layer that answers.
    pub(crate) async fn lock(self: &Arc<Self>, item: &Arc<Item>, lease: u64) -> Locked {
        for (at, level) in self.levels().iter().enumerate() {
            let Some(shared) = level.layer.shared() else { continue };
            match Self::guarded(level, "lock", |_| shared.lock(&item.key, lease)).await {
                Some(Lock::Acquired(token)) => {
                    return Locked::Mine(Locking {
                        chain: Arc::clone(self),
                        item: Arc::clone(item),
                        at,
                        token,
                    });
                }
                Some(Lock::Held(released)) => return Locked::Theirs(released),
                None => {}
            }
        }
        Locked::Nobodys
    }
}
