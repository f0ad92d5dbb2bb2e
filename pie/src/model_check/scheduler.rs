//! A scheduler that runs tasks one step at a time, in an order drawn from a seed.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Context, Poll, Wake, Waker};

use tokio::sync::oneshot;

use crate::task::stepped::{self, Task};

/// Whether a task was woken.
struct Flag(AtomicBool);

impl Wake for Flag {
    fn wake(self: Arc<Self>) {
        self.0.store(true, Ordering::Relaxed);
    }

    fn wake_by_ref(self: &Arc<Self>) {
        self.0.store(true, Ordering::Relaxed);
    }
}

struct Slot {
    task: Option<Task>,
    woken: Arc<Flag>,
    waker: Waker,
    /// Whether its caller may go away, as a client that disconnects.
    droppable: bool,
}

/// Tasks, and timers that fire when they are told to.
#[derive(Default)]
pub(super) struct Scheduler {
    slots: Vec<Slot>,
    timers: Vec<oneshot::Sender<()>>,
}

impl Scheduler {
    pub(super) fn new() -> Self {
        stepped::schedule(true);
        Self::default()
    }

    pub(super) fn spawn(&mut self, task: impl Future<Output = ()> + Send + 'static, droppable: bool) {
        let woken = Arc::new(Flag(AtomicBool::new(true)));
        let waker = Waker::from(Arc::clone(&woken));
        self.slots.push(Slot { task: Some(Box::pin(task)), woken, waker, droppable });
    }

    /// Tasks that can take a step.
    pub(super) fn runnable(&self) -> impl Iterator<Item = usize> {
        self.which(|slot| slot.woken.0.load(Ordering::Relaxed))
    }

    pub(super) fn droppable(&self) -> impl Iterator<Item = usize> {
        self.which(|slot| slot.droppable)
    }

    fn which(&self, of: impl Fn(&Slot) -> bool) -> impl Iterator<Item = usize> {
        let slots = self.slots.iter().enumerate();
        slots.filter(move |(_, slot)| slot.task.is_some() && of(slot)).map(|(at, _)| at)
    }

    pub(super) fn unfinished(&self) -> usize {
        self.slots.iter().filter(|slot| slot.task.is_some()).count()
    }

    pub(super) fn timers(&mut self) -> usize {
        self.timers.retain(|timer| !timer.is_closed());
        self.timers.len()
    }

    pub(super) fn fire(&mut self, at: usize) {
        // Whoever waited may have gone.
        let _ = self.timers.swap_remove(at).send(());
    }

    pub(super) fn drop_task(&mut self, at: usize) {
        self.slots[at].task = None;
        self.take_asked();
    }

    /// Lets a task take one step.
    pub(super) fn step(&mut self, at: usize) {
        let slot = &mut self.slots[at];
        slot.woken.0.store(false, Ordering::Relaxed);
        if let Some(task) = &mut slot.task
            && let Poll::Ready(()) = task.as_mut().poll(&mut Context::from_waker(&slot.waker))
        {
            slot.task = None;
        }
        self.take_asked();
    }

    fn take_asked(&mut self) {
        let asked = stepped::asked();
        for task in asked.tasks {
            let woken = Arc::new(Flag(AtomicBool::new(true)));
            let waker = Waker::from(Arc::clone(&woken));
            self.slots.push(Slot { task: Some(task), woken, waker, droppable: false });
        }
        self.timers.extend(asked.timers);
    }
}

impl Drop for Scheduler {
    fn drop(&mut self) {
        self.slots.clear();
        stepped::schedule(false);
    }
}
