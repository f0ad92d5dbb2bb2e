//! Counts work that goes on in tasks of its own, so that it can be waited for.

use tokio::sync::watch;

/// Counts running tasks.
#[derive(Debug, Clone)]
pub(crate) struct Tracker(watch::Sender<usize>);

/// One running task; done when dropped, however it ends.
#[derive(Debug)]
pub(crate) struct Running(watch::Sender<usize>);

impl Default for Tracker {
    fn default() -> Self {
        Self(watch::Sender::new(0))
    }
}

impl Tracker {
    /// Counts a task until the returned value is dropped.
    pub(crate) fn start(&self) -> Running {
        self.0.send_modify(|count| *count += 1);
        Running(self.0.clone())
    }

    /// Waits until no task runs. Safe to drop at any point.
    pub(crate) async fn idle(&self) {
        let mut watcher = self.0.subscribe();
        // The sender lives in `self`, so the channel cannot be closed meanwhile.
        let _ = watcher.wait_for(|count| *count == 0).await;
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        self.0.send_modify(|count| *count = count.saturating_sub(1));
    }
}
