//! Who takes part, each set up as its own documentation shows it.

use std::io::Write as _;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use futures_util::future::join_all;
use hitbox_fn::CacheableResponse;
use hitbox_fn::prelude::PolicyConfig;
use pie::prelude::*;
use serde::{Deserialize, Serialize};

use crate::KEYS;

/// How many rows are in Redis.
pub const SHARED: i64 = 2_000;
/// How long what is in memory lives.
pub const TTL: Duration = Duration::from_secs(3_600);

pub type Failure = Box<dyn std::error::Error>;

/// The row.
#[derive(Debug, Clone, PartialEq, Model, Serialize, Deserialize, CacheableResponse)]
#[cached(ttl = "1h", tags("users"))]
pub struct User {
    #[pie(id, auto)]
    pub id: i64,
    #[pie(unique)]
    pub email: String,
    pub name: String,
    #[pie(index)]
    pub status: String,
    pub age: i32,
    pub score: f64,
    pub active: bool,
}

fn user(id: i64) -> User {
    User {
        id,
        email: format!("user{id}@example.org"),
        name: format!("User Number {id}"),
        status: if id % 100 == 0 { "rare" } else { "common" }.to_owned(),
        age: 40,
        score: 0.5,
        active: true,
    }
}

fn hundred() -> Vec<User> {
    (1..=KEYS).filter(|id| id % 100 == 0).map(user).collect()
}

#[cached::macros::cached(ttl_secs = 3600)]
fn cached_arc(id: i64) -> Arc<User> {
    Arc::new(user(id))
}

#[cached::macros::concurrent_cached(ttl_secs = 3600)]
async fn concurrent_arc(id: i64) -> Arc<User> {
    Arc::new(user(id))
}

#[cached::macros::concurrent_cached(ttl_secs = 3600)]
async fn concurrent_value(id: i64) -> User {
    user(id)
}

#[cached::macros::cached(ttl_secs = 3600)]
fn cached_list(status: i64) -> Arc<Vec<User>> {
    let _ = status;
    Arc::new(hundred())
}

/// A function of pie that shares its value.
#[pie::cached(ttl = "1h", key = "peer:{id}", tags("users"))]
async fn pie_function(engine: &Engine, id: i64) -> Arc<User> {
    let _ = engine;
    Arc::new(user(id))
}

/// An error that everybody can clone.
#[derive(Debug, Clone, thiserror::Error)]
#[error("failed")]
pub struct Failed;

#[cached::macros::concurrent_cached(redis = true, ttl_secs = 600, cache_prefix_block = { "peer_cached_" }, map_error = |_| Failed)]
async fn cached_in_redis(id: i64) -> Result<User, Failed> {
    Ok(user(id))
}

#[hitbox_fn::cached(prefix = "peer")]
async fn hitbox_user(id: i64) -> User {
    user(id)
}

/// One of them: what it is called, whether its key is made of the id at each read, and its reads.
pub struct Contestant {
    pub name: &'static str,
    pub key: &'static str,
    /// Reads each of these, and adds something up that only the right values give.
    pub sum: Box<dyn Fn(&[i64]) -> i64 + Sync>,
    /// Sixteen times the same, with 64 tasks.
    pub sum_of_many: Box<dyn Fn(&[i64]) -> i64 + Sync>,
}

fn block<T>(work: impl Future<Output = T>) -> T {
    match tokio::runtime::Handle::try_current() {
        Ok(_) => unreachable!("passes are begun outside of the runtime"),
        Err(_) => RUNTIME.with(|runtime| runtime.block_on(work)),
    }
}

thread_local! {
    static RUNTIME: tokio::runtime::Runtime =
        tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime of this thread");
}

/// Reads without a runtime of many threads.
pub fn from_each(
    name: &'static str,
    key: &'static str,
    each: impl AsyncFn(i64) -> i64 + Sync + 'static,
) -> Contestant {
    let sum = move |ids: &[i64]| {
        block(async {
            let mut sum = 0;
            for id in ids {
                sum += each(*id).await;
            }
            sum
        })
    };
    Contestant { name, key, sum: Box::new(sum), sum_of_many: Box::new(|_| 0) }
}

/// Reads over a runtime of two threads, which the connections live on.
fn shared<F, R>(runtime: &Arc<tokio::runtime::Runtime>, name: &'static str, each: F) -> Contestant
where
    F: Fn(i64) -> R + Clone + Send + Sync + 'static,
    R: Future<Output = i64> + Send + 'static,
{
    let (one, many, second) = (Arc::clone(runtime), Arc::clone(runtime), each.clone());
    let sum = move |ids: &[i64]| {
        let (ids, each) = (ids.to_vec(), each.clone());
        let all = async move {
            let mut sum = 0;
            for id in ids {
                sum += each(id).await;
            }
            sum
        };
        one.block_on(async { tokio::spawn(all).await.unwrap_or(0) })
    };
    let sum_of_many = move |ids: &[i64]| {
        let chunk = ids.len().div_ceil(64);
        let tasks = (0..64).map(|task| {
            let each = second.clone();
            let ids: Vec<i64> = ids.iter().copied().skip(task * chunk).take(chunk).collect();
            async move {
                let mut sum = 0;
                for _ in 0..16 {
                    for id in &ids {
                        sum += each(*id).await;
                    }
                }
                sum
            }
        });
        let tasks: Vec<_> = tasks.collect();
        many.block_on(async {
            let tasks: Vec<_> = tasks.into_iter().map(tokio::spawn).collect();
            join_all(tasks).await.into_iter().map(|sum| sum.unwrap_or(0)).sum()
        })
    };
    Contestant { name, key: "built", sum: Box::new(sum), sum_of_many: Box::new(sum_of_many) }
}

/// The rows, in a database and in every contestant.
pub struct Users {
    engine: Engine,
    runtime: Arc<tokio::runtime::Runtime>,
}

impl Users {
    pub fn new() -> Result<Self, Failure> {
        let runtime =
            Arc::new(tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build()?);
        let engine = runtime
            .block_on(Self::database(Engine::builder().memory(pie::Memory::max_bytes(256 << 20)), KEYS))?;
        runtime.block_on(async {
            for id in 1..=KEYS {
                User::find_by_id(&engine, id).await?;
                pie_function(&engine, id).await;
            }
            User::list_by_status(&engine, "rare").await
        })?;
        Ok(Self { engine, runtime })
    }

    async fn database(builder: pie::EngineBuilder, rows: i64) -> pie::Result<Engine> {
        let engine = builder.database("sqlite::memory:").build().await?;
        engine.create_tables::<(User,)>().await?;
        let new = (1..=rows).map(user).map(|user| NewUser {
            email: user.email,
            name: user.name,
            status: user.status,
            age: user.age,
            score: user.score,
            active: user.active,
        });
        User::insert_many(&engine, new).await?;
        Ok(engine)
    }

    /// Fails if pie answers without its versions, its deadline or its statistics.
    pub fn validate(&self) -> Result<(), Failure> {
        self.runtime.block_on(async {
            let clock = pie::ManualClock::new();
            let engine = Self::database(Engine::builder().clock(&clock), 10).await?;
            let read = async || User::find_by_id(&engine, 7).required().await;
            read().await?;
            let before = engine.cache().stats();
            for _ in 0..1_000 {
                assert_eq!(read().await?.source(), pie::Source::Memory);
            }
            assert_eq!(engine.cache().stats().hits - before.hits, 1_000, "every hit is counted");
            User::update_by_id(&engine, 7).name("other").await?;
            let changed = read().await?;
            assert_eq!(
                (&*changed.name, changed.source()),
                ("other", pie::Source::Database),
                "a write ends the entry"
            );
            engine.cache().delete_by_tags(["users"]).await?;
            assert_eq!(read().await?.source(), pie::Source::Database, "a tag ends it");
            clock.advance(Duration::from_secs(24 * 3_600));
            assert_eq!(read().await?.source(), pie::Source::Database, "its time to live ends it");
            engine.close().await;
            Ok(())
        })
    }

    /// Hits of single rows.
    pub fn rows(&self, url: Option<&str>) -> Result<Vec<Contestant>, Failure> {
        let ready: Arc<Vec<String>> = Arc::new((0..=KEYS).map(|id| format!("user:{id}")).collect());
        let at = |id: i64| usize::try_from(id).unwrap_or(0);
        let mini: mini_moka::sync::Cache<String, Arc<User>> =
            mini_moka::sync::Cache::builder().time_to_live(TTL).build();
        let moka: moka::sync::Cache<String, Arc<User>> =
            moka::sync::Cache::builder().time_to_live(TTL).build();
        let quick = Arc::new(quick_cache::sync::Cache::<String, Arc<User>>::new(100_000));
        let quick_of_text = Arc::clone(&quick);
        let quick_by_id = Arc::new(quick_cache::sync::Cache::<i64, Arc<User>>::new(100_000));
        for id in 1..=KEYS {
            let (key, user) = (ready[at(id)].clone(), Arc::new(user(id)));
            mini.insert(key.clone(), Arc::clone(&user));
            moka.insert(key.clone(), Arc::clone(&user));
            quick.insert(key, Arc::clone(&user));
            quick_by_id.insert(id, user);
        }
        let (engine, functions) = (self.engine.clone(), self.engine.clone());
        let keys = Arc::clone(&ready);
        let mut all = vec![
            from_each("mini-moka", "ready", async move |id| {
                mini.get(&ready[at(id)]).map_or(0, |user| user.id)
            }),
            from_each("pie find_by_id", "built", async move |id| {
                User::find_by_id(&engine, id).await.ok().flatten().map_or(0, |user| user.id)
            }),
            from_each("pie #[cached], Arc", "built", async move |id| pie_function(&functions, id).await.id),
        ];
        let ready = Arc::clone(&keys);
        all.push(from_each("moka", "ready", async move |id| {
            moka.get(&ready[at(id)]).map_or(0, |user| user.id)
        }));
        all.push(from_each("quick_cache", "ready", async move |id| {
            quick.get(&keys[at(id)]).map_or(0, |user| user.id)
        }));
        all.push(from_each("quick_cache, text on the stack", "built", async move |id| {
            let mut text = [0; 32];
            let mut rest = &mut text[..];
            let _ = write!(rest, "user:{id}");
            let length = 32 - rest.len();
            let key = std::str::from_utf8(&text[..length]).unwrap_or_default();
            quick_of_text.get(key).map_or(0, |user| user.id)
        }));
        all.push(from_each("quick_cache, key i64", "built", async move |id| {
            quick_by_id.get(&id).map_or(0, |user| user.id)
        }));
        all.push(from_each("cached #[cached], Arc", "built", async |id| cached_arc(id).id));
        all.push(from_each("cached #[concurrent_cached], Arc", "built", async |id| {
            concurrent_arc(id).await.id
        }));
        all.push(from_each("cached #[concurrent_cached], value", "built", async |id| {
            concurrent_value(id).await.id
        }));
        let hitbox = hitbox_fn::Cache::builder()
            .backend(hitbox_moka::MokaBackend::builder().max_entries(100_000).build())
            .policy(PolicyConfig::builder().ttl(TTL).build())
            .build();
        all.push(from_each("hitbox", "built", async move |id| hitbox_user(id).cache(&hitbox).await.id));
        if let Some(url) = url {
            let system = self.runtime.block_on(multi_tier_cache::CacheSystem::with_redis_url(url))?;
            let manager = Arc::clone(system.cache_manager());
            let filling = Arc::clone(&manager);
            self.runtime.block_on(async move {
                for id in 1..=KEYS {
                    multi_tier(&filling, id).await;
                }
            });
            // Its connection lives on the runtime; hits in memory do not need it.
            std::mem::forget(system);
            all.push(from_each("multi-tier-cache", "built", async move |id| multi_tier(&manager, id).await));
        }
        Ok(all)
    }

    /// Reads of what nobody has: each makes its key, asks, makes the row and stores it.
    pub fn misses(&self, url: Option<&str>) -> Result<Vec<Contestant>, Failure> {
        let mini: mini_moka::sync::Cache<String, Arc<User>> =
            mini_moka::sync::Cache::builder().time_to_live(TTL).build();
        let moka: moka::sync::Cache<String, Arc<User>> =
            moka::sync::Cache::builder().time_to_live(TTL).build();
        let quick = quick_cache::sync::Cache::<String, Arc<User>>::new(1_000_000);
        let engine = self.engine.clone();
        let hitbox = hitbox_fn::Cache::builder()
            .backend(hitbox_moka::MokaBackend::builder().max_entries(1_000_000).build())
            .policy(PolicyConfig::builder().ttl(TTL).build())
            .build();
        let mut all = vec![
            from_each("mini-moka get, then insert", "built", async move |id| {
                let key = format!("user:{id}");
                if let Some(user) = mini.get(&key) {
                    return user.id;
                }
                let user = Arc::new(user(id));
                mini.insert(key, Arc::clone(&user));
                user.id
            }),
            from_each("pie #[cached], Arc", "built", async move |id| pie_function(&engine, id).await.id),
            from_each("moka get_with", "built", async move |id| {
                moka.get_with(format!("user:{id}"), || Arc::new(user(id))).id
            }),
            from_each("quick_cache get_or_insert_with", "built", async move |id| {
                let made = || Ok::<_, Failed>(Arc::new(user(id)));
                quick.get_or_insert_with(format!("user:{id}").as_str(), made).map_or(0, |user| user.id)
            }),
            from_each("cached #[cached], Arc", "built", async |id| cached_arc(id).id),
            from_each("cached #[concurrent_cached], Arc", "built", async |id| concurrent_arc(id).await.id),
            from_each("hitbox", "built", async move |id| hitbox_user(id).cache(&hitbox).await.id),
        ];
        if let Some(url) = url {
            let system = self.runtime.block_on(multi_tier_cache::CacheSystem::with_redis_url(url))?;
            let (manager, runtime) = (Arc::clone(system.cache_manager()), &self.runtime);
            std::mem::forget(system);
            // It writes to Redis as well.
            all.push(shared(runtime, "multi-tier-cache, with Redis", move |id| {
                let manager = Arc::clone(&manager);
                async move { multi_tier(&manager, id).await }
            }));
        }
        Ok(all)
    }

    /// Hits of a list of a hundred rows.
    pub fn lists(&self) -> Result<Vec<Contestant>, Failure> {
        let mini: mini_moka::sync::Cache<String, Arc<Vec<User>>> =
            mini_moka::sync::Cache::builder().time_to_live(TTL).build();
        let key = "users:rare".to_owned();
        mini.insert(key.clone(), Arc::new(hundred()));
        let engine = self.engine.clone();
        Ok(vec![
            from_each("mini-moka", "ready", async move |_| {
                mini.get(&key).map_or(0, |rows| rows.len() as i64)
            }),
            from_each("pie list_by_status", "built", async move |_| {
                User::list_by_status(&engine, "rare").await.map_or(0, |rows| rows.len() as i64)
            }),
            from_each("cached #[cached], Arc", "built", async |id| cached_list(id).len() as i64),
        ])
    }

    /// Reads that only Redis answers.
    pub fn in_redis(&self, url: &str) -> Result<Vec<Contestant>, Failure> {
        let config = pie::RedisConfig::new(url).budget(Duration::from_secs(5));
        let (engine, raw) = self.runtime.block_on(async {
            let engine = Self::database(Engine::builder().redis(config).require_redis(), SHARED).await?;
            let client = redis::Client::open(url)?;
            let raw = client.get_multiplexed_async_connection().await?;
            for id in 1..=SHARED {
                User::find_by_id(&engine, id).await?;
                cached_in_redis(id).await?;
                let json = serde_json::to_vec(&user(id))?;
                let mut raw = raw.clone();
                redis::cmd("SET")
                    .arg(format!("peer_raw:{id}"))
                    .arg(json)
                    .arg("EX")
                    .arg(600)
                    .query_async::<()>(&mut raw)
                    .await?;
            }
            engine.cache().flush().await;
            Ok::<_, Failure>((engine, raw))
        })?;
        let hitbox = {
            let _inside = self.runtime.enter();
            let backend = hitbox_redis::RedisBackend::builder()
                .connection(hitbox_redis::ConnectionMode::single(url))
                .build()?;
            Arc::new(
                hitbox_fn::Cache::builder()
                    .backend(backend)
                    .policy(PolicyConfig::builder().ttl(TTL).build())
                    .build(),
            )
        };
        self.runtime.block_on(async {
            for id in 1..=SHARED {
                let _ = hitbox_user(id).cache(&hitbox).await;
            }
        });
        let runtime = &self.runtime;
        Ok(vec![
            shared(runtime, "redis-rs GET + serde_json", move |id| {
                let mut raw = raw.clone();
                async move {
                    let bytes: Vec<u8> = redis::cmd("GET")
                        .arg(format!("peer_raw:{id}"))
                        .query_async(&mut raw)
                        .await
                        .unwrap_or_default();
                    serde_json::from_slice::<User>(&bytes).map_or(0, |user| user.id)
                }
            }),
            shared(runtime, "pie find_by_id", move |id| {
                let engine = engine.clone();
                async move { User::find_by_id(&engine, id).await.ok().flatten().map_or(0, |user| user.id) }
            }),
            shared(runtime, "cached, redis", |id| async move {
                cached_in_redis(id).await.map_or(0, |user| user.id)
            }),
            shared(runtime, "hitbox, redis", move |id| {
                let hitbox = Arc::clone(&hitbox);
                async move { hitbox_user(id).cache(&hitbox).await.id }
            }),
        ])
    }

    /// A thousand tasks on one cold key whose load takes 20 ms: how many loads, and in how many times 20 ms.
    pub fn stampede(&self) -> Result<Vec<(&'static str, u64, f64)>, Failure> {
        const LOAD: Duration = Duration::from_millis(20);
        let mut all = Vec::new();
        let loads = Arc::new(AtomicU64::new(0));
        let load = |loads: &Arc<AtomicU64>| {
            let loads = Arc::clone(loads);
            async move {
                loads.fetch_add(1, Ordering::Relaxed);
                tokio::time::sleep(LOAD).await;
                7_i64
            }
        };
        let engine = self.engine.clone();
        let counted = Arc::clone(&loads);
        all.push(self.stampeding("pie get_or_load", &loads, LOAD, move || {
            let (engine, load) = (engine.clone(), load(&counted));
            async move {
                let mut load = Some(load);
                let load = || {
                    let load = load.take().expect("it is run once");
                    async { Ok::<_, pie::Error>(load.await) }
                };
                engine.cache().get_or_load("stampede", TTL, load).await.map_or(0, |value| *value)
            }
        }));
        let quick = Arc::new(quick_cache::sync::Cache::<i64, i64>::new(100));
        let counted = Arc::clone(&loads);
        all.push(
            self.stampeding("quick_cache get_or_insert_async", &loads, LOAD, move || {
                let (quick, load) = (Arc::clone(&quick), load(&counted));
                async move {
                    quick.get_or_insert_async(&1, async { Ok::<_, Failed>(load.await) }).await.unwrap_or(0)
                }
            }),
        );
        Ok(all)
    }

    fn stampeding<R: Future<Output = i64> + Send + 'static>(
        &self,
        name: &'static str,
        loads: &AtomicU64,
        load: Duration,
        make: impl Fn() -> R,
    ) -> (&'static str, u64, f64) {
        loads.store(0, Ordering::Relaxed);
        let tasks: Vec<R> = (0..1_000).map(|_| make()).collect();
        let start = Instant::now();
        let sum: i64 = self.runtime.block_on(async {
            let tasks: Vec<_> = tasks.into_iter().map(tokio::spawn).collect();
            join_all(tasks).await.into_iter().map(|answer| answer.unwrap_or(0)).sum()
        });
        assert_eq!(sum, 7_000, "{name} gave other values");
        (name, loads.load(Ordering::Relaxed), start.elapsed().as_secs_f64() / load.as_secs_f64())
    }
}

async fn multi_tier(manager: &multi_tier_cache::CacheManager, id: i64) -> i64 {
    let strategy = multi_tier_cache::CacheStrategy::LongTerm;
    let found =
        manager.get_or_compute_typed(&format!("peer:{id}"), strategy, || async move { Ok(user(id)) }).await;
    found.map_or(0, |user: User| user.id)
}
