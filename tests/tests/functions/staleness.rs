//! Values past their time, and runs that outlive their callers.

use super::*;

/// Something that is cheap to copy, so that runs can outlive their callers.
#[derive(Clone)]
struct Rates {
    users: Arc<Users>,
}

impl Rates {
    /// A rate.
    #[cached(ttl = "1m", stale = "1h", tags("rates"), via = self.users.engine)]
    pub(crate) async fn stale(&self, from: &str, to: String, pairs: &[u8]) -> Result<Cached<u64>, AppError> {
        let _ = (from, to, pairs);
        let number = self.users.loaded();
        let _turn = self.users.gate.acquire().await;
        Ok(Cached::from(number))
    }

    /// A rate.
    #[cached(ttl = "1m", refresh_ahead = 0.5, via = self.users.engine)]
    pub(crate) async fn ahead(&self) -> u64 {
        self.users.loaded()
    }

    /// A rate.
    #[cached(ttl = "1m", stale_if_error = "1h", soft_timeout = "10ms", via = self.users.engine)]
    pub(crate) async fn soft(&self) -> u64 {
        let number = self.users.loaded();
        let _turn = self.users.gate.acquire().await;
        number
    }
}

#[tokio::test]
async fn values_past_their_time_are_served_while_a_task_runs_the_function() {
    let users = Arc::new(Users::new().await);
    let rates = Rates { users: Arc::clone(&users) };
    let ask = async || rates.stale("eur", "nok".into(), &[1, 2]).await.expect("answers");
    let total = || users.loads.load(Ordering::SeqCst);
    assert_eq!(*ask().await, 1);
    users.clock.advance(Duration::from_secs(61));
    users.gate.forget_permits(1_000_000);
    for _ in 0..10 {
        let rate = ask().await;
        assert_eq!((*rate, rate.is_stale()), (1, true), "at once, while it is loaded anew");
    }
    pie_tests::until("a task runs it", async || total() == 2).await;
    users.gate.add_permits(1_000_000);
    users.engine.cache().flush().await;
    let rate = ask().await;
    assert_eq!((*rate, rate.is_stale(), total()), (2, false, 2));
    users.clock.advance(Duration::from_secs(61));
    users.engine.cache().delete_by_tags(["rates"]).await.expect("deletes");
    assert_eq!(*ask().await, 3, "what was invalidated is never served");
}

#[tokio::test]
async fn values_are_loaded_anew_before_their_time_is_over() {
    let users = Arc::new(Users::new().await);
    let rates = Rates { users: Arc::clone(&users) };
    assert_eq!(rates.ahead().await, 1);
    users.clock.advance(Duration::from_secs(29));
    assert_eq!(rates.ahead().await, 1);
    users.engine.cache().flush().await;
    assert_eq!(users.loads(), 1);
    users.clock.advance(Duration::from_secs(1));
    assert_eq!(rates.ahead().await, 1, "served, and loaded anew");
    users.engine.cache().flush().await;
    assert_eq!(users.loads(), 1);
    assert_eq!(rates.ahead().await, 1, "the number of the load that came since the count was taken");
    assert_eq!(users.loads(), 0);
}

#[tokio::test]
async fn a_soft_timeout_serves_what_is_there() {
    let users = Arc::new(Users::new().await);
    let rates = Rates { users: Arc::clone(&users) };
    assert_eq!(rates.soft().await, 1);
    users.clock.advance(Duration::from_secs(61));
    users.gate.forget_permits(1_000_000);
    assert_eq!(rates.soft().await, 1, "past its time, because the run takes too long");
    users.gate.add_permits(1_000_000);
    users.engine.cache().flush().await;
    assert_eq!(rates.soft().await, 2, "the run went on");
}
