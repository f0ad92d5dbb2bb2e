//! Tasks and timers: tokio's, except in the model check, where a scheduler of its own decides what happens next.

use std::future::Future;
use std::time::Duration;

/// Runs a future in a task of its own, at once. The returned future gives its output, or `None` if the runtime stopped
/// it or it panicked; dropping it lets the task run on.
pub(crate) fn spawn<T: Send + 'static>(
    work: impl Future<Output = T> + Send + 'static,
) -> impl Future<Output = Option<T>> + Send {
    #[cfg(test)]
    let work = match stepped::spawn(work) {
        Ok(output) => return futures_util::future::Either::Left(output),
        Err(work) => work,
    };
    let task = tokio::spawn(work);
    let task = async move { task.await.ok() };
    #[cfg(test)]
    let task = futures_util::future::Either::Right(task);
    task
}

/// Runs a future in a task of its own, unless there is no runtime any more: for what a destructor has left to do.
pub(crate) fn spawn_if_possible(work: impl Future<Output = ()> + Send + 'static) {
    #[cfg(test)]
    let work = match stepped::spawn(work) {
        Ok(_) => return,
        Err(work) => work,
    };
    if let Ok(runtime) = tokio::runtime::Handle::try_current() {
        runtime.spawn(work);
    }
}

/// Runs work that takes a while without waiting, on a thread for such; here and now where there is no runtime.
pub(crate) fn spawn_blocking(work: impl FnOnce() + Send + 'static) {
    match tokio::runtime::Handle::try_current() {
        Ok(runtime) => drop(runtime.spawn_blocking(work)),
        Err(_) => work(),
    }
}

/// Runs a future for at most this long; `None` when it did not end in time.
pub(crate) async fn timeout<T>(limit: Duration, work: impl Future<Output = T>) -> Option<T> {
    #[cfg(test)]
    if let Some(timer) = stepped::timer() {
        let work = std::pin::pin!(work);
        return match futures_util::future::select(work, timer).await {
            futures_util::future::Either::Left((output, _)) => Some(output),
            futures_util::future::Either::Right(_) => None,
        };
    }
    tokio::time::timeout(limit, work).await.ok()
}

/// Tasks and timers under a scheduler that runs on this thread and takes one step at a time.
#[cfg(test)]
pub(crate) mod stepped {
    use std::cell::RefCell;
    use std::future::Future;
    use std::pin::Pin;

    use tokio::sync::oneshot;

    pub(crate) type Task = Pin<Box<dyn Future<Output = ()> + Send>>;

    /// What the scheduled code asked for since the scheduler looked last.
    #[derive(Default)]
    pub(crate) struct Asked {
        pub(crate) tasks: Vec<Task>,
        pub(crate) timers: Vec<oneshot::Sender<()>>,
    }

    thread_local! {
        static ASKED: RefCell<Option<Asked>> = const { RefCell::new(None) };
    }

    /// Begins (or ends) scheduling on this thread.
    pub(crate) fn schedule(on: bool) {
        ASKED.set(on.then(Asked::default));
    }

    /// What was asked for since the last call.
    pub(crate) fn asked() -> Asked {
        ASKED.with_borrow_mut(|asked| asked.as_mut().map(std::mem::take)).unwrap_or_default()
    }

    pub(super) fn spawn<T, F>(work: F) -> Result<impl Future<Output = Option<T>> + Send + use<T, F>, F>
    where
        T: Send + 'static,
        F: Future<Output = T> + Send + 'static,
    {
        ASKED.with_borrow_mut(|asked| match asked {
            None => Err(work),
            Some(asked) => {
                let (send, receive) = oneshot::channel();
                asked.tasks.push(Box::pin(async move {
                    // Nobody may wait for it any more.
                    let _ = send.send(work.await);
                }));
                Ok(async move { receive.await.ok() })
            }
        })
    }

    /// Lets the scheduler choose anew; nothing without one.
    pub(crate) async fn pause() {
        if ASKED.with_borrow(Option::is_none) {
            return;
        }
        let mut paused = false;
        std::future::poll_fn(|context| {
            if std::mem::replace(&mut paused, true) {
                return std::task::Poll::Ready(());
            }
            context.waker().wake_by_ref();
            std::task::Poll::Pending
        })
        .await;
    }

    pub(super) fn timer() -> Option<Pin<Box<dyn Future<Output = ()> + Send>>> {
        ASKED.with_borrow_mut(|asked| {
            let (send, receive) = oneshot::channel();
            asked.as_mut()?.timers.push(send);
            // A timer that the scheduler dropped never fires.
            let fired = async move {
                if receive.await.is_err() {
                    std::future::pending::<()>().await;
                }
            };
            Some(Box::pin(fired) as Pin<Box<dyn Future<Output = ()> + Send>>)
        })
    }
}
