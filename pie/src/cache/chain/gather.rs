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
    /// How many readers are asking or waiting.
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

/// One of those who are asking, until dropped.
struct Asking<'g>(&'g AtomicUsize);

impl Drop for Asking<'_> {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }
}

/// The right and the duty to ask for those who wait. When it is dropped without having done so, as the runtime is gone, they ask
/// by themselves.
struct Turn(Option<Arc<Level>>);

impl Turn {
    fn take(&mut self) -> Vec<Waiting> {
        self.0.take().map(|level| std::mem::take(&mut *level.gathering.waiting())).unwrap_or_default()
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
        let others = level.gathering.asking.fetch_add(1, Ordering::Relaxed);
        let _asking = Asking(&level.gathering.asking);
        if others > 0
            && level.gathering.enabled
            && let Some(answer) = Self::ask_with_others(level, item)
            && let Ok(reply) = answer.await
        {
            return Some(reply);
        }
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
            let (level, mut turn) = (Arc::clone(level), Turn(Some(Arc::clone(level))));
            drop(task::spawn(async move {
                tokio::task::yield_now().await;
                let waiting = turn.take();
                let items: Vec<&Arc<Item>> = waiting.iter().map(|(item, _)| item).collect();
                let replies = Self::call(&level, &items).await.unwrap_or_default();
                for ((_, sender), reply) in waiting.into_iter().zip(replies) {
                    // A reader that is gone needs none.
                    let _ = sender.send(reply);
                }
            }));
        }
        Some(answer)
    }
}
