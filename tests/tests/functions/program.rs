//! Random programs of calls and changes: a cached function always gives what the function itself would give.

use std::collections::BTreeMap;
use std::sync::Mutex;

use pie_tests::redis_server::shared;
use proptest::prelude::*;

use super::*;

/// Something outside: a service, a file. Every change of it goes through a function that says what it makes wrong.
#[derive(Default)]
struct Outside {
    items: Mutex<BTreeMap<u8, u32>>,
    reads: AtomicU64,
}

struct Shop {
    engine: Engine,
    source: Arc<Outside>,
}

impl Shop {
    fn items(&self) -> BTreeMap<u8, u32> {
        self.source.reads.fetch_add(1, Ordering::SeqCst);
        self.source.items.lock().expect("no test panics with it").clone()
    }

    #[cached(ttl = "1h", key = "item:{id}", tags("group:{group}"), skip(group), via = self.engine)]
    pub async fn item(&self, id: u8, group: u8) -> Option<u32> {
        debug_assert_eq!(group, id % 3);
        self.items().get(&id).copied()
    }

    #[cached(ttl = "1h", tags("lists"), via = self.engine)]
    pub async fn group(&self, group: u8) -> Result<Arc<Vec<u32>>, AppError> {
        let all = self.items();
        Ok(Arc::new(all.iter().filter(|(id, _)| *id % 3 == group).map(|(_, value)| *value).collect()))
    }

    #[cached(ttl = "1h", name = "total", via = self.engine)]
    pub async fn total(&self, above: Option<u32>, odd: bool) -> u32 {
        let all = self.items();
        all.values()
            .filter(|value| above.is_none_or(|above| **value > above) && (**value % 2 == 1) == odd)
            .sum()
    }

    #[invalidates(keys("item:{id}"), tags("lists"), patterns("total:*"), via = self.engine)]
    pub async fn set(&self, id: u8, value: u32) {
        self.source.items.lock().expect("no test panics with it").insert(id, value);
    }

    #[invalidates(tags("group:{group}", "lists"), patterns("total:*"), via = self.engine)]
    pub async fn remove_group(&self, group: u8) -> Result<(), AppError> {
        self.source.items.lock().expect("no test panics with it").retain(|id, _| id % 3 != group);
        Ok(())
    }

    /// Fails before it changes anything, and so ends nothing.
    #[invalidates(patterns("*"), via = self.engine)]
    pub async fn refused(&self) -> Result<(), AppError> {
        Err(AppError("no".into()))
    }
}

#[derive(Debug, Clone)]
enum Step {
    Item(u8),
    Group(u8),
    Total(Option<u32>, bool),
    Set(u8, u32),
    RemoveGroup(u8),
    Refused,
    Refresh(u8),
    /// Another process with the same Redis, and nothing in its memory.
    Restart,
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let step = prop_oneof![
        4 => (0..6_u8).prop_map(Step::Item),
        2 => (0..3_u8).prop_map(Step::Group),
        2 => (prop::option::of(0..4_u32), any::<bool>()).prop_map(|(above, odd)| Step::Total(above, odd)),
        3 => (0..6_u8, 0..6_u32).prop_map(|(id, value)| Step::Set(id, value)),
        1 => (0..3_u8).prop_map(Step::RemoveGroup),
        1 => Just(Step::Refused),
        1 => (0..6_u8).prop_map(Step::Refresh),
        1 => Just(Step::Restart),
    ];
    prop::collection::vec(step, 1..40)
}

async fn engine(config: &pie::CacheConfig, redis: Option<&str>) -> Engine {
    let mut builder = Engine::builder().database("sqlite::memory:").config(config.clone());
    if let Some(url) = redis {
        builder = builder.redis(url);
    }
    builder.build().await.expect("builds")
}

async fn run(steps: Vec<Step>, redis: Option<&str>) -> u64 {
    let config = testing::config();
    let source = Arc::new(Outside::default());
    let mut shop = Shop { engine: engine(&config, redis).await, source: Arc::clone(&source) };
    let mut calls = 0;
    for step in steps {
        match step {
            Step::Item(id) => {
                assert_eq!(shop.item(id, id % 3).await, shop.item_uncached(id, id % 3).await, "item {id}");
                calls += 1;
            }
            Step::Group(group) => {
                assert_eq!(shop.group(group).await, shop.group_uncached(group).await, "group {group}");
                calls += 1;
            }
            Step::Total(above, odd) => {
                let cached = shop.total(above, odd).await;
                assert_eq!(cached, shop.total_uncached(above, odd).await, "total {above:?} {odd}");
                calls += 1;
            }
            Step::Set(id, value) => shop.set(id, value).await,
            Step::RemoveGroup(group) => shop.remove_group(group).await.expect("succeeds"),
            Step::Refused => assert!(shop.refused().await.is_err()),
            Step::Refresh(id) => {
                assert_eq!(shop.item_refresh(id, id % 3).await, shop.item_uncached(id, id % 3).await);
                calls += 2;
            }
            Step::Restart => {
                shop.engine.close().await;
                shop = Shop { engine: engine(&config, redis).await, source: Arc::clone(&source) };
            }
        }
    }
    // Each call above was compared with one that went past the cache.
    source.reads.load(Ordering::SeqCst) - calls
}

fn in_a_runtime(work: impl Future<Output = u64>) -> u64 {
    tokio::runtime::Builder::new_current_thread().enable_all().build().expect("builds").block_on(work)
}

#[test]
fn a_cached_function_gives_what_the_function_gives() {
    let mut runner = proptest::test_runner::TestRunner::new(ProptestConfig::with_cases(60));
    let outcome = runner.run(&steps(), |steps| {
        in_a_runtime(run(steps, None));
        Ok(())
    });
    outcome.expect("holds");
}

#[test]
fn also_when_processes_come_and_go_and_redis_stays() {
    let Some(port) = shared() else { return };
    let url = format!("redis://127.0.0.1:{port}");
    let mut runner = proptest::test_runner::TestRunner::new(ProptestConfig::with_cases(30));
    let outcome = runner.run(&steps(), |steps| {
        in_a_runtime(run(steps, Some(&url)));
        Ok(())
    });
    outcome.expect("holds");
}

#[test]
fn and_it_is_cached() {
    let again = vec![
        Step::Item(1),
        Step::Item(1),
        Step::Refused,
        Step::Item(1),
        Step::Set(1, 2),
        Step::Item(1),
        Step::Item(2),
    ];
    assert_eq!(in_a_runtime(run(again, None)), 3);
}
