//! Invalidations, waiters, errors and timeouts while the function runs.

use super::*;

#[tokio::test]
async fn a_load_that_an_invalidation_met_is_not_served_again() {
    for way in 0..4 {
        let users = Arc::new(Users::new().await);
        users.gate.forget_permits(1_000_000);
        let loading = tokio::spawn({
            let users = Arc::clone(&users);
            async move { users.profile(1).await }
        });
        pie_tests::until("it loads", async || users.loads.load(Ordering::SeqCst) == 1).await;
        match way {
            0 => users.rename(1, "new").await.expect("renames"),
            1 => users.profile_invalidate(1).await.expect("invalidates"),
            2 => users.engine.cache().delete_by_tags(["profiles"]).await.expect("deletes"),
            _ => drop(User::insert(&users.engine, NewUser { name: "x".into() }).await.expect("inserts")),
        }
        users.gate.add_permits(1_000_000);
        loading.await.expect("no panic").expect("answers");
        users.loads();
        users.profile(1).await.expect("answers");
        assert_eq!(users.loads(), 1, "way {way}: what was loaded before it is not served after it");
    }
}

#[tokio::test]
async fn many_callers_are_one_load_and_a_dropped_one_hands_over() {
    let users = Arc::new(Users::new().await);
    users.gate.forget_permits(1_000_000);
    let call = || {
        let users = Arc::clone(&users);
        tokio::spawn(async move { users.profile(1).await })
    };
    let leader = call();
    pie_tests::until("it loads", async || users.loads.load(Ordering::SeqCst) == 1).await;
    let waiting: Vec<_> = (0..200).map(|_| call()).collect();
    tokio::task::yield_now().await;
    leader.abort();
    pie_tests::until("another one loads", async || users.loads.load(Ordering::SeqCst) == 2).await;
    users.gate.add_permits(1_000_000);
    for one in waiting {
        assert_eq!(one.await.expect("no panic").map(|found| found.map(|one| one.id)), Ok(Some(1)));
    }
    assert_eq!(users.loads(), 2);
}

#[tokio::test]
async fn errors_go_to_all_who_wait_as_far_as_they_can() {
    let users = Arc::new(Users::new().await);
    users.gate.forget_permits(1_000_000);
    let calls: Vec<_> = (0..50)
        .map(|_| {
            let users = Arc::clone(&users);
            tokio::spawn(async move { users.failing(true).await })
        })
        .collect();
    pie_tests::until("it loads", async || users.loads.load(Ordering::SeqCst) == 1).await;
    tokio::task::yield_now().await;
    users.gate.add_permits(1_000_000);
    for call in calls {
        assert_eq!(
            call.await.expect("no panic"),
            Err(SharedError(1)),
            "`Clone`: one load, one error for all"
        );
    }
    assert_eq!(users.loads(), 1);

    let calls: Vec<_> = (0..50)
        .map(|_| {
            let users = Arc::clone(&users);
            tokio::spawn(async move { users.profile(0).await })
        })
        .collect();
    for call in calls {
        assert_eq!(call.await.expect("no panic"), Err(AppError("no id".into())));
    }
    assert!(users.loads() >= 2, "not `Clone`: who waited loads by itself");
}

#[tokio::test]
async fn a_timeout_is_the_programs_error() {
    let users = Users::new().await;
    users.gate.forget_permits(1_000_000);
    assert_eq!(users.slow(true).await, Err(SharedError(999)));
    users.gate.add_permits(1_000_000);
    assert_eq!(users.slow(true).await, Ok(1));
    assert_eq!(users.slow(false).await, Err(SharedError(4)));
}

#[tokio::test]
async fn the_engines_timeout_is_for_those_who_can_tell_it() {
    // The return type of these has no place for an error of pie: they run to their end.
    let config = pie::CacheConfig { load_timeout: Some(Duration::from_millis(5)), ..testing::config() };
    let engine = Engine::builder().database("sqlite::memory:").config(config).build().await.expect("builds");
    let (loads, clock) = (AtomicU64::new(0), ManualClock::new());
    let users = Arc::new(Users { engine, loads, gate: Semaphore::new(0), clock });
    let running = tokio::spawn({
        let users = Arc::clone(&users);
        async move { users.profile(1).await }
    });
    pie_tests::until("it runs", async || users.loads.load(Ordering::SeqCst) == 1).await;
    assert_eq!(users.slow(true).await, Err(SharedError(999)), "its timeout is over, and so was the other's");
    users.gate.add_permits(1_000);
    assert!(running.await.expect("no panic").is_ok_and(|found| found.is_some()));
}

#[tokio::test]
async fn an_invalidation_that_has_begun_is_carried_out_though_its_caller_goes_away() -> pie::Result<()> {
    #[invalidates(tags("t"), patterns("a:?", "b:?"))]
    async fn end(engine: &Engine) {
        let _ = engine;
    }
    let users = Users::new().await;
    let (cache, minute) = (users.engine.cache(), Duration::from_secs(60));
    cache.set_many([("a:1", 1), ("b:1", 1)], minute).await?;
    cache.set("c", &1, minute).tags(["t"]).await?;
    {
        let mut ending = std::pin::pin!(end(&users.engine));
        let mut context = std::task::Context::from_waker(std::task::Waker::noop());
        assert!(ending.as_mut().poll(&mut context).is_pending());
    }
    cache.flush().await;
    let left = cache.get_many::<u32, _>(&["a:1", "b:1", "c"]).await?;
    assert_eq!(left.iter().flatten().count(), 0);
    Ok(())
}
