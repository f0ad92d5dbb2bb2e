//! Reads of a shared layer that come at the same time go together: one call for all that are ready to ask.
//!
//! A reader that is alone asks at once, in its own future. Who comes while another is asking has a task ask for it, which first lets
//! the tasks run that are ready to, once, and then asks for whoever came meanwhile. Nobody waits for a timer, for the answer to
//! another, or for a reader that is not polled. (The idea is that of Facebook's `DataLoader`, which gathers what is asked for within one
//! turn of an event loop.)

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::sync::oneshot;

use super::{Chain, Item, Level};
use crate::cache::layer::SharedReply;
use crate::task;

/// How many reads go together at most.
const MOST: usize = 256;

type Waiting = (Arc<Item>, oneshot::Sender<SharedReply>);

/// Who waits for the task that asks for all of them.
pub(super) struct Gathering {
    waiting: Mutex<Vec<Waiting>>,
    /// How many calls are under way, or about to be. Readers that wait are not counted: each would take the line of memory away from
    /// the other threads, twice.
    asking: AtomicUsize,
    enabled: bool,
}

impl Gathering {
    pub(super) fn new(enabled: bool) -> Self {
        Self { waiting: Mutex::default(), asking: AtomicUsize::new(0), enabled }
    }

    fn waiting(&self) -> MutexGuard<'_, Vec<Waiting>> {
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A call under way, until dropped.
struct Asking(Arc<Level>);

impl Asking {
    fn start(level: &Arc<Level>) -> Self {
        level.gathering.asking.fetch_add(1, Ordering::Relaxed);
        Self(Arc::clone(level))
    }
}

impl Drop for Asking {
    fn drop(&mut self) {
        self.0.gathering.asking.fetch_sub(1, Ordering::Relaxed);
    }
}

/// The right and the duty to ask for those who wait. When it is dropped without having done so, as the runtime is gone, they ask
/// by themselves.
struct Turn {
    asking: Asking,
    taken: bool,
}

impl Turn {
    fn level(&self) -> &Level {
        &self.asking.0
    }

    fn take(&mut self) -> Vec<Waiting> {
        match std::mem::replace(&mut self.taken, true) {
            true => Vec::new(),
            false => std::mem::take(&mut *self.level().gathering.waiting()),
        }
    }
}

impl Drop for Turn {
    fn drop(&mut self) {
        drop(self.take());
    }
}

impl Chain {
    /// Asks a shared layer for one item, together with others that are asked for at the same time; `None` where it failed.
    pub(super) async fn read_together(level: &Arc<Level>, item: &Arc<Item>) -> Option<SharedReply> {
        if level.gathering.enabled
            && level.gathering.asking.load(Ordering::Relaxed) > 0
            && let Some(answer) = Self::ask_with_others(level, item)
            && let Ok(reply) = answer.await
        {
            return Some(reply);
        }
        let _asking = Asking::start(level);
        // Also where the call for all of them failed: perhaps because of a value of another.
        Self::call(level, &[item]).await?.pop()
    }

    /// Waits with others for a task to ask; `None` where those are many enough.
    fn ask_with_others(level: &Arc<Level>, item: &Arc<Item>) -> Option<oneshot::Receiver<SharedReply>> {
        let (sender, answer) = oneshot::channel();
        let first = {
            let mut waiting = level.gathering.waiting();
            if waiting.len() >= MOST {
                return None;
            }
            waiting.push((Arc::clone(item), sender));
            waiting.len() == 1
        };
        if first {
            let mut turn = Turn { asking: Asking::start(level), taken: false };
            drop(task::spawn(async move {
                tokio::task::yield_now().await;
                let waiting = turn.take();
                let items: Vec<&Arc<Item>> = waiting.iter().map(|(item, _)| item).collect();
                let replies = Self::call(turn.level(), &items).await.unwrap_or_default();
                for ((_, sender), reply) in waiting.into_iter().zip(replies) {
                    // A reader that is gone needs none.
                    let _ = sender.send(reply);
                }
                // Whoever was answered and asks for the next value at once still finds others asking.
                tokio::task::yield_now().await;
            }));
        }
        Some(answer)
    }
}
