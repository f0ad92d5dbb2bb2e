//! Reads of a shared layer that come at the same time go together: one call for all that are ready to ask.
//!
//! The first to come lets the tasks run that are ready to, once, and asks for itself and for whoever came meanwhile. Nobody waits
//! for a timer or for the answer to another: what it costs a reader that is alone is one turn of the runtime. (The idea is that
//! of Facebook's `DataLoader`, which gathers what is asked for within one turn of an event loop.)

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::sync::oneshot;

use super::{Chain, Item, Level};
use crate::cache::layer::{SharedLayer, SharedReply};

/// How many reads go together at most.
const MOST: usize = 256;

type Waiting = (Arc<Item>, oneshot::Sender<SharedReply>);

/// Who waits to be asked for by the reader that gathers.
pub(super) struct Gathering {
    /// `None` while nobody gathers.
    waiting: Mutex<Option<Vec<Waiting>>>,
    enabled: bool,
}

impl Gathering {
    pub(super) fn new(enabled: bool) -> Self {
        Self { waiting: Mutex::default(), enabled }
    }

    fn lock(&self) -> MutexGuard<'_, Option<Vec<Waiting>>> {
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The reader that gathers. When it goes away, those who wait ask by themselves.
struct Gatherer<'g>(&'g Gathering);

impl Gatherer<'_> {
    fn close(&self) -> Vec<Waiting> {
        self.0.lock().take().unwrap_or_default()
    }
}

impl Drop for Gatherer<'_> {
    fn drop(&mut self) {
        drop(self.close());
    }
}

/// What a reader does.
enum Part<'g> {
    Gathers(Gatherer<'g>),
    Waits(oneshot::Receiver<SharedReply>),
    /// Those who go together are many enough, or nobody does.
    Asks,
}

impl Level {
    fn part(&self, item: &Arc<Item>) -> Part<'_> {
        let mut gathering = self.gathering.lock();
        match gathering.as_mut() {
            None if self.gathering.enabled => {
                *gathering = Some(Vec::new());
                Part::Gathers(Gatherer(&self.gathering))
            }
            Some(waiting) if waiting.len() + 1 < MOST => {
                let (sender, receiver) = oneshot::channel();
                waiting.push((Arc::clone(item), sender));
                Part::Waits(receiver)
            }
            None | Some(_) => Part::Asks,
        }
    }
}

impl Chain {
    /// Asks a shared layer for one item, together with others that are asked for at the same time; `None` where it failed.
    pub(super) async fn read_together(
        level: &Level,
        shared: &dyn SharedLayer,
        item: &Arc<Item>,
    ) -> Option<SharedReply> {
        let part = level.part(item);
        if let Part::Waits(receiver) = part {
            // Without an answer whoever gathered went away, or its call failed: perhaps because of a value of another.
            match receiver.await {
                Ok(reply) => return Some(reply),
                Err(_) => return Self::call(level, shared, &[item]).await?.pop(),
            }
        }
        let mut others = Vec::new();
        if let Part::Gathers(gatherer) = part {
            tokio::task::yield_now().await;
            others = gatherer.close();
        }
        let items: Vec<&Arc<Item>> =
            std::iter::once(item).chain(others.iter().map(|(item, _)| item)).collect();
        let Some(replies) = Self::call(level, shared, &items).await else {
            let alone = others.is_empty();
            drop(others);
            return if alone { None } else { Self::call(level, shared, &[item]).await?.pop() };
        };
        let mut replies = replies.into_iter();
        let own = replies.next();
        for ((_, sender), reply) in others.into_iter().zip(replies) {
            // A reader that is gone needs none.
            let _ = sender.send(reply);
        }
        own
    }
}
