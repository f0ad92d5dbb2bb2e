//! Values in Redis, functions of one name, layers that fail.

use super::*;

#[tokio::test]
async fn values_come_from_redis_as_well() -> pie::Result<()> {
    let Some(port) = pie_tests::redis_server::shared() else { return Ok(()) };
    let config = testing::config();
    let build = async || {
        let redis = pie::RedisConfig::new(format!("127.0.0.1:{port}")).budget(Duration::from_secs(5));
        let builder = Engine::builder().database("sqlite::memory:").memory(pie::Memory::default());
        let builder = builder.redis(redis.connect_timeout(Duration::from_secs(20))).require_redis();
        let engine = builder.config(config.clone()).build().await.expect("builds");
        engine.create_tables::<(User,)>().await.expect("creates");
        Users { engine, loads: AtomicU64::new(0), gate: Semaphore::new(1_000), clock: ManualClock::new() }
    };
    let (one, two) = (build().await, build().await);
    let all = async |users: &Users| {
        users.profile(1).await.expect("answers");
        users.profile(99).await.expect("answers");
        users.maybe(true).await.expect("answers");
        users.maybe_handle(false).await;
        users.arc().await;
        let handle = users.handle().await.expect("answers");
        users.engine.cache().flush().await;
        (users.loads(), handle.source())
    };
    assert_eq!(all(&one).await, (6, Source::Database));
    assert_eq!(all(&two).await, (0, Source::Redis));
    one.profile_invalidate(1).await?;
    two.engine.cache().layers()[0].evict_all().await?;
    two.profile(1).await.expect("answers");
    assert_eq!(two.loads(), 1, "what one process ends, Redis does not give another");
    Ok(())
}

/// Functions of one name: each has values of its own.
mod twins {
    use super::*;

    #[derive(Debug)]
    pub(crate) struct Left(pub(crate) Engine);
    #[derive(Debug)]
    pub(crate) struct Right(pub(crate) Engine);

    impl Left {
        #[cached(ttl = "1m", via = self.0)]
        pub(crate) async fn value(&self, id: i64) -> i64 {
            id
        }
    }

    impl Right {
        #[cached(ttl = "1m", via = self.0)]
        pub(crate) async fn value(&self, id: i64) -> i64 {
            -id
        }
    }

    #[cached(ttl = "1m", name = "value")]
    pub(crate) async fn text(engine: &Engine, id: i64) -> String {
        let _ = engine;
        format!("text {id}")
    }
}

#[tokio::test]
async fn functions_of_one_name_are_told_apart_and_ended_together() {
    let users = Users::new().await;
    let engine = &users.engine;
    let (left, right) = (twins::Left(engine.clone()), twins::Right(engine.clone()));
    for _ in 0..2 {
        assert_eq!((left.value(1).await, right.value(1).await), (1, -1));
        assert_eq!(twins::text(engine, 1).await, "text 1");
    }
    let loads = |outcome: u64| outcome;
    let before = loads(engine.cache().stats().loads);
    engine.cache().delete("value:1").await.expect("deletes");
    left.value(1).await;
    right.value(1).await;
    twins::text(engine, 1).await;
    assert_eq!(engine.cache().stats().loads - before, 3, "one key, three values");
}

#[tokio::test]
async fn a_failing_layer_never_fails_a_function() {
    let layer = testing::FaultyLayer::new();
    let builder =
        Engine::builder().database("sqlite::memory:").layer(layer.clone()).config(testing::config());
    let engine = builder.build().await.expect("builds");
    engine.create_tables::<(User,)>().await.expect("creates");
    let clock = ManualClock::new();
    let users = Users { engine, loads: AtomicU64::new(0), gate: Semaphore::new(1), clock };
    for fault in [testing::Fault::Fail, testing::Fault::Panic, testing::Fault::Forget, testing::Fault::Lie] {
        layer.set_fault(fault);
        for _ in 0..2 {
            assert_eq!(users.profile(1).await.map(|found| found.map(|one| one.id)), Ok(Some(1)), "{fault:?}");
        }
    }
}
