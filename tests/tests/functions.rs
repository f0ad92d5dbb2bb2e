//! Cached functions on real SQLite and Redis: every shape of return, keys, handles, fences, errors, cancellation.
#![allow(clippy::expect_used, clippy::panic, clippy::unwrap_used, reason = "a test fails by panicking")]
#![allow(unreachable_pub, reason = "what is public has companions")]

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use pie::prelude::*;
use pie::testing::{self, ManualClock};
use pie::{CacheKey, Source};
use serde::{Deserialize, Serialize};
use tokio::sync::Semaphore;

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
struct Profile {
    id: i64,
    name: String,
}

#[derive(Debug, Clone, Model)]
#[cached(ttl = "5m")]
struct User {
    #[pie(id, auto)]
    id: i64,
    name: String,
}

/// An error of the program's own, which cannot be copied.
#[derive(Debug, PartialEq)]
struct AppError(String);

/// One that can.
#[derive(Debug, Clone, PartialEq)]
struct SharedError(u64);

impl From<pie::Error> for SharedError {
    fn from(_: pie::Error) -> Self {
        Self(999)
    }
}

type AppResult<T> = Result<T, AppError>;

struct Users {
    engine: Engine,
    loads: AtomicU64,
    gate: Semaphore,
    clock: ManualClock,
}

impl Users {
    async fn new() -> Self {
        let clock = ManualClock::new();
        let builder = Engine::builder().database("sqlite::memory:").config(testing::config()).clock(&clock);
        let engine = builder.build().await.expect("builds");
        engine.create_tables::<(User,)>().await.expect("creates");
        Self { engine, loads: AtomicU64::new(0), gate: Semaphore::new(1_000_000), clock }
    }

    fn loaded(&self) -> u64 {
        self.loads.fetch_add(1, Ordering::SeqCst) + 1
    }

    /// Loads since the last call.
    fn loads(&self) -> u64 {
        self.loads.swap(0, Ordering::SeqCst)
    }

    /// A profile.
    #[cached(ttl = "1m", key = "profile:{id}", tags("profiles", "profile:{id}"), depends(User), via = self.engine)]
    pub async fn profile(&self, id: i64) -> Result<Option<Profile>, AppError> {
        self.loaded();
        let _turn = self.gate.acquire().await;
        match id {
            0 => Err(AppError("no id".into())),
            99 => Ok(None),
            _ => Ok(Some(Profile { id, name: format!("user {id}") })),
        }
    }

    #[invalidates(keys("profile:{id}"), via = self.engine)]
    pub async fn rename(&self, id: i64, name: &str) -> Result<(), AppError> {
        if name.is_empty() { Err(AppError(format!("no name for {id}"))) } else { Ok(()) }
    }

    #[cached(ttl = "1m", via = self.engine)]
    async fn plain(&self) -> u64 {
        self.loaded()
    }

    #[cached(ttl = "1m", via = self.engine)]
    async fn option(&self, some: bool) -> Option<u64> {
        self.loaded();
        some.then_some(7)
    }

    #[cached(ttl = "1m", empty_ttl = "10s", via = self.engine)]
    async fn list(&self, many: u64) -> Vec<u64> {
        self.loaded();
        (0..many).collect()
    }

    #[cached(ttl = "1m", via = self.engine)]
    async fn alias(&self, ok: bool) -> AppResult<Vec<u64>> {
        self.loaded();
        if ok { Ok(vec![1]) } else { Err(AppError("no".into())) }
    }

    #[cached(ttl = "1m", via = self.engine)]
    async fn arc(&self) -> Arc<Vec<u64>> {
        self.loaded();
        Arc::new(vec![1, 2, 3])
    }

    #[cached(ttl = "1m", via = self.engine)]
    async fn handle(&self) -> pie::Result<Cached<Profile>> {
        self.loaded();
        Ok(Cached::from(Profile { id: 1, name: "Ann".into() }))
    }

    #[cached(ttl = "1m", via = self.engine)]
    async fn maybe(&self, some: bool) -> Result<Option<Arc<Profile>>, AppError> {
        self.loaded();
        Ok(some.then(|| Arc::new(Profile { id: 1, name: "Ann".into() })))
    }

    #[cached(ttl = "1m", via = self.engine)]
    async fn maybe_handle(&self, some: bool) -> Option<Cached<u64>> {
        self.loaded();
        some.then(|| Cached::from(5))
    }

    #[cached(ttl = "1m", skip(trace), if = id > 0, via = self.engine)]
    async fn conditional(&self, id: i64, trace: &str) -> u64 {
        let _ = trace;
        self.loaded()
    }

    #[cached(ttl = "1m", timeout = "20ms", via = self.engine)]
    async fn slow(&self, shared: bool) -> Result<u64, SharedError> {
        self.loaded();
        let _turn = self.gate.acquire().await;
        if shared { Ok(1) } else { Err(SharedError(4)) }
    }

    #[cached(ttl = "1m", via = self.engine)]
    async fn failing(&self, clone: bool) -> Result<u64, SharedError> {
        let number = self.loaded();
        let _turn = self.gate.acquire().await;
        if clone { Err(SharedError(number)) } else { Ok(number) }
    }
}

#[tokio::test]
async fn a_method_runs_once_and_its_key_tags_and_models_end_it() {
    let users = Users::new().await;
    let ann = Profile { id: 1, name: "user 1".into() };
    for _ in 0..3 {
        assert_eq!(users.profile(1).await, Ok(Some(ann.clone())));
    }
    assert_eq!(users.loads(), 1);
    assert_eq!(users.profile(2).await.map(|found| found.map(|profile| profile.id)), Ok(Some(2)));
    assert_eq!(users.loads(), 1, "another argument, another value");

    let cache = users.engine.cache();
    for way in 0..6 {
        match way {
            0 => cache.delete("profile:1").await.expect("deletes"),
            1 => cache.delete_by_tags(["profile:1"]).await.expect("deletes"),
            2 => cache.delete_by_pattern("profile:*").await.expect("deletes"),
            3 => users.rename(1, "new").await.expect("renames"),
            4 => users.profile_invalidate(1).await.expect("invalidates"),
            _ => drop(User::insert(&users.engine, NewUser { name: "x".into() }).await.expect("inserts")),
        }
        users.profile(1).await.expect("answers");
        assert_eq!(users.loads(), 1, "way {way}");
        users.profile(1).await.expect("answers");
        assert_eq!(users.loads(), 0);
    }
    assert!(users.rename(1, "").await.is_err());
    users.profile(1).await.expect("answers");
    assert_eq!(users.loads(), 0, "what failed ends nothing");
    users.clock.advance(Duration::from_secs(61));
    users.profile(1).await.expect("answers");
    assert_eq!(users.loads(), 1, "its time is over");
}

#[tokio::test]
async fn only_ok_is_stored_and_nothing_is_stored_shortly() {
    let users = Users::new().await;
    for _ in 0..2 {
        assert_eq!(
            users.profile(0).await,
            Err(AppError("no id".into())),
            "the program's own error, as it is"
        );
    }
    assert_eq!(users.loads(), 2);
    for _ in 0..2 {
        assert_eq!(users.profile(99).await, Ok(None));
    }
    assert_eq!(users.loads(), 1);
    users.clock.advance(Duration::from_secs(30));
    users.profile(99).await.expect("answers");
    assert_eq!(users.loads(), 1, "for the engine's `empty_cache_ttl`");
    assert!(users.list(0).await.is_empty() && users.list(0).await.is_empty());
    assert_eq!(users.loads(), 1);
    users.clock.advance(Duration::from_secs(10));
    assert!(users.list(0).await.is_empty());
    assert_eq!(users.loads(), 1, "for its own `empty_ttl`");
}

#[tokio::test]
async fn every_shape_of_return() {
    let users = Users::new().await;
    for _ in 0..2 {
        assert_eq!(users.plain().await, 1);
    }
    assert_eq!(users.loads(), 1);
    for _ in 0..2 {
        assert_eq!((users.option(true).await, users.option(false).await), (Some(7), None));
        assert_eq!(users.list(3).await, [0, 1, 2]);
        assert_eq!(users.alias(true).await, Ok(vec![1]));
        assert_eq!(users.maybe(true).await.map(|found| found.map(|one| one.id)), Ok(Some(1)));
        assert_eq!(users.maybe(false).await.map(|found| found.is_none()), Ok(true));
        assert_eq!(users.maybe_handle(true).await.map(|one| *one), Some(5));
        assert!(users.maybe_handle(false).await.is_none());
    }
    assert_eq!(users.loads(), 8);
    for _ in 0..2 {
        assert_eq!(
            users.alias(false).await,
            Err(AppError("no".into())),
            "an alias of `Result` is a `Result`"
        );
    }
    assert_eq!(users.loads(), 2);
    let (one, two) = (users.arc().await, users.arc().await);
    assert!(Arc::ptr_eq(&one, &two), "no copy");
    assert_eq!(users.loads(), 1);
    let first = users.handle().await.expect("answers");
    let again = users.handle().await.expect("answers");
    assert_eq!((first.source(), again.source(), first == again), (Source::Database, Source::Memory, true));
}

#[tokio::test]
async fn conditions_and_skipped_arguments() {
    let users = Users::new().await;
    assert_eq!(users.conditional(1, "a").await, users.conditional(1, "b").await);
    assert_eq!(users.loads(), 1);
    assert_ne!(users.conditional(0, "a").await, users.conditional(0, "a").await);
}

#[tokio::test]
async fn companions() {
    let users = Users::new().await;
    assert_eq!(users.profile_cache_key(7), "profile:7");
    users.profile(7).await.expect("answers");
    users.profile_uncached(7).await.expect("answers");
    assert_eq!(users.loads(), 2, "past the cache");
    users.profile(7).await.expect("answers");
    assert_eq!(users.loads(), 0, "which did not change");
    users.profile_refresh(7).await.expect("answers");
    assert_eq!(users.loads(), 1);
    users.profile(7).await.expect("answers");
    assert_eq!(users.loads(), 0, "what was refreshed is stored");
    users.engine.cache().delete(&users.profile_cache_key(7)).await.expect("deletes");
    users.profile(7).await.expect("answers");
    assert_eq!(users.loads(), 1);
}

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

/// A free function with its engine as an argument.
#[cached(ttl = "1m", name = "sum")]
pub(crate) async fn sum_of(engine: &Engine, numbers: &[i64], extra: Option<i64>) -> pie::Result<i64> {
    let rows: Vec<(i64,)> = engine.sql("SELECT ?").bind(extra.unwrap_or(0)).all().await?;
    Ok(numbers.iter().sum::<i64>() + rows[0].0)
}

/// In a transaction, or not.
#[cached(ttl = "1m")]
async fn names(tx: &Tx) -> pie::Result<Vec<String>> {
    let users = User::query(tx).order_by(User::ID.asc()).await?;
    Ok(users.iter().map(|user| user.name.clone()).collect())
}

#[invalidates(tags("names"), models(User))]
async fn add(tx: &Tx, name: String) -> pie::Result<()> {
    tx.sql("INSERT INTO users (name) VALUES (?)").bind(name).execute().await.map(drop)
}

#[tokio::test]
async fn free_functions_find_their_engine_among_the_arguments() -> pie::Result<()> {
    let users = Users::new().await;
    let engine = &users.engine;
    let count = |outcome: pie::Result<i64>| outcome;
    pie::assert_statements!(engine, 1, {
        assert_eq!(count(sum_of(engine, &[1, 2], Some(3)).await)?, 6);
        assert_eq!(sum_of(engine, &[1, 2], Some(3)).await?, 6);
    });
    pie::assert_statements!(engine, 3, {
        sum_of(engine, &[1, 2], None).await?;
        sum_of(engine, &[], Some(3)).await?;
        sum_of(engine, &[1], Some(3)).await?;
    });
    assert_eq!(sum_of_cache_key(&[1, 2], Some(3)), "sum:%(1,2,%),%+3");
    engine.cache().delete_by_pattern("sum:*").await?;
    pie::assert_statements!(engine, 1, sum_of(engine, &[1, 2], Some(3)).await?);
    let stats = engine.cache().report().groups;
    assert!(stats.iter().any(|group| group.name == "sum" && group.kind.as_str() == "function"));
    Ok(())
}

#[tokio::test]
async fn in_a_transaction_nothing_is_taken_from_the_cache_and_what_is_invalidated_waits_for_the_commit()
-> pie::Result<()> {
    let users = Users::new().await;
    let engine = &users.engine;
    let ask = || async { User::query(engine).await.map(|users| users.len()) };
    assert_eq!(ask().await?, 0);
    let tx = engine.begin().await?;
    add(&tx, "Ann".into()).await?;
    pie::assert_statements!(engine, 2, {
        assert_eq!(names(&tx).await?, ["Ann"]);
        assert_eq!(names(&tx).await?, ["Ann"]);
    });
    tx.rollback().await?;
    pie::assert_statements!(engine, 0, ask().await?);
    let tx = engine.begin().await?;
    add(&tx, "Bob".into()).await?;
    tx.commit().await?;
    assert_eq!(ask().await?, 1);
    Ok(())
}

#[cached(ttl = "1m", via = global)]
async fn answer() -> u64 {
    static CALLS: AtomicU64 = AtomicU64::new(0);
    CALLS.fetch_add(1, Ordering::SeqCst)
}

#[tokio::test]
async fn a_global_engine() {
    assert_ne!(answer().await, answer().await, "without one, nothing is cached");
    let users = Users::new().await;
    pie::install(users.engine.clone());
    assert_eq!(answer().await, answer().await);
}

/// Any data source behind a trait.
trait Weather {
    fn degrees(&self, city: &str) -> impl Future<Output = Result<f64, AppError>> + Send;
}

impl Weather for Users {
    #[cached(ttl = "1m", key = "weather:{city}", via = self.engine)]
    async fn degrees(&self, city: &str) -> Result<f64, AppError> {
        self.loaded();
        if city.is_empty() {
            return Err(AppError("which city?".into()));
        }
        Ok(21.5)
    }
}

#[tokio::test]
async fn methods_of_traits() {
    let users = Users::new().await;
    for _ in 0..2 {
        assert_eq!(users.degrees("Bergen").await, Ok(21.5));
        assert!(users.degrees("").await.is_err());
    }
    assert_eq!(users.loads(), 3);
}

/// The same with `async_trait`, whose methods give boxed futures.
#[async_trait::async_trait]
trait Forecast {
    async fn tomorrow(&self, city: &str, days: Vec<u8>) -> Result<f64, AppError>;
    async fn forget(&self, city: &str) -> Result<(), AppError>;
}

#[async_trait::async_trait]
impl Forecast for Users {
    #[cached(ttl = "1m", name = "forecast", via = self.engine)]
    async fn tomorrow(&self, city: &str, days: Vec<u8>) -> Result<f64, AppError> {
        self.loaded();
        if days.is_empty() { Err(AppError(format!("no days for {city}"))) } else { Ok(20.0) }
    }

    #[invalidates(patterns("forecast:{city},*"), via = self.engine)]
    async fn forget(&self, city: &str) -> Result<(), AppError> {
        if city.is_empty() { Err(AppError("which city?".into())) } else { Ok(()) }
    }
}

#[tokio::test]
async fn methods_of_async_trait() {
    let users: Arc<Users> = Arc::new(Users::new().await);
    let forecast: Arc<dyn Forecast + Send + Sync> = Arc::<Users>::clone(&users);
    for _ in 0..2 {
        assert_eq!(forecast.tomorrow("Bergen", vec![1]).await, Ok(20.0));
    }
    assert_eq!(users.loads(), 1);
    forecast.forget("Oslo").await.expect("forgets");
    forecast.tomorrow("Bergen", vec![1]).await.expect("answers");
    assert_eq!(users.loads(), 0);
    forecast.forget("Bergen").await.expect("forgets");
    forecast.tomorrow("Bergen", vec![1]).await.expect("answers");
    assert_eq!(users.loads(), 1);
    assert!(forecast.tomorrow("Bergen", Vec::new()).await.is_err());
}

#[derive(CacheKey)]
struct Search<'a> {
    text: &'a str,
    page: u32,
}

#[derive(CacheKey)]
enum Sort {
    Name,
    Age { descending: bool },
}

impl Users {
    #[cached(ttl = "1m", via = self.engine)]
    async fn search<T: CacheKey + Send + Sync>(&self, search: &Search<'_>, sort: Sort, more: T) -> Vec<u64> {
        let _ = (sort, more);
        vec![self.loaded(), u64::from(search.page)]
    }
}

#[tokio::test]
async fn arguments_of_the_programs_own_types_and_generic_ones() {
    let users = Users::new().await;
    let ask = async |text: &str, sort: Sort| {
        users.search(&Search { text, page: 1 }, sort, (1, "x")).await;
        users.loads()
    };
    assert_eq!(ask("a", Sort::Name).await, 1);
    assert_eq!(ask("a", Sort::Name).await, 0);
    assert_eq!(ask("b", Sort::Name).await, 1);
    assert_eq!(ask("a", Sort::Age { descending: true }).await, 1);
    assert_eq!(ask("a", Sort::Age { descending: false }).await, 1);
    assert_eq!(ask("a", Sort::Age { descending: true }).await, 0);
}

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
async fn scopes_keep_functions_apart_and_a_closed_engine_runs_them() {
    let users = Users::new().await;
    let tenant = users.engine.scoped("tenant:7");
    let ask = async |engine: &Engine| sum_of(engine, &[1], None).await;
    ask(&users.engine).await.expect("answers");
    pie::assert_statements!(users.engine, 1, ask(&tenant).await.expect("answers"));
    tenant.cache().delete_by_pattern("sum:*").await.expect("deletes");
    pie::assert_statements!(users.engine, 0, ask(&users.engine).await.expect("answers"));
    users.engine.cache().disable();
    users.plain().await;
    users.plain().await;
    assert_eq!(users.loads(), 2, "switched off");
    users.engine.cache().enable();
    users.engine.close().await;
    users.plain().await;
    users.plain().await;
    assert_eq!(users.loads(), 2, "closed");
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

#[invalidates(keys("note:{id}"), tags("note-{id}"), patterns("list:*"))]
async fn touch(tx: &Tx, id: i64) {
    let _ = tx;
}

#[tokio::test]
async fn what_a_function_ends_in_a_transaction_ends_at_its_commit() -> pie::Result<()> {
    let users = Users::new().await;
    let (engine, minute) = (&users.engine, Duration::from_secs(60));
    let cache = engine.cache();
    let fill = async || {
        cache.set("note:1", &1, minute).await?;
        cache.set("other", &1, minute).tags(["note-1"]).await?;
        cache.set("list:all", &1, minute).await?;
        cache.set("note:2", &1, minute).await
    };
    let there = async || {
        let all = cache.get_many::<u32, _>(&["note:1", "other", "list:all", "note:2"]).await;
        all.map(|all| all.iter().map(Option::is_some).collect::<Vec<_>>())
    };
    fill().await?;
    let tx = engine.begin().await?;
    touch(&tx, 1).await;
    assert_eq!(there().await?, [true; 4], "not before the commit");
    tx.rollback().await?;
    assert_eq!(there().await?, [true; 4], "not at a rollback");
    let tx = engine.begin().await?;
    touch(&tx, 1).await;
    tx.commit().await?;
    assert_eq!(there().await?, [false, false, false, true]);
    Ok(())
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
