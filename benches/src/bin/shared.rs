//! The shared layer: a hit in Redis against redis-rs `GET` and `serde_json`, alone, from 64 tasks, and many rows at once.
//!
//! `cargo run --release -p pie-benches --bin shared -- redis://host:port`. A binary of its own: the one that counts allocations has
//! each of them pay for that.

use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use pie::prelude::*;
use pie::{CacheConfig, Cached, RedisConfig};
use pie_benches::{AT_A_TIME, Pair, TURN_ROUNDS, User, each, median, new_user};
use tokio::sync::oneshot;

const ROUNDS: usize = 7;
/// How many calls of many rows follow each other, and how often.
const CALLS_AT_A_TIME: usize = 5;
const TURNS: usize = 20;
/// As long as one of pie's.
const TOKEN: &str = "0123456789abcdef";

/// redis-rs alone, on a copy of the rows as JSON: the floor, and what of pie's cost is its protocol's.
#[derive(Clone)]
struct Raw {
    connection: redis::aio::MultiplexedConnection,
    /// The keys of the rows, and of a token for each.
    rows: Arc<[(String, String)]>,
    /// The keys of the tokens that all rows share.
    shared: Arc<[String]>,
}

type Outcome<T> = Result<T, Box<dyn std::error::Error + Send + Sync>>;

impl Raw {
    async fn new(url: &str, users: &[Cached<User>]) -> Outcome<Self> {
        let mut connection = redis::Client::open(url)?.get_multiplexed_async_connection().await?;
        let prefix = format!("pie-bench-floor-{}:", std::process::id());
        let key = |user: &Cached<User>| {
            (format!("{prefix}user:{}", user.id), format!("{prefix}~k:user:{}", user.id))
        };
        let raw = Self {
            rows: users.iter().map(key).collect(),
            shared: ["~f:user", "~t:users", "~n"].map(|name| format!("{prefix}{name}")).into(),
            connection: connection.clone(),
        };
        let mut pipe = redis::pipe();
        for ((row, token), user) in raw.rows.iter().zip(users) {
            pipe.cmd("SET").arg(row).arg(serde_json::to_vec(&**user)?).arg("EX").arg(600);
            pipe.cmd("SET").arg(token).arg(TOKEN).arg("EX").arg(600);
        }
        for token in &*raw.shared {
            pipe.cmd("SET").arg(token).arg(TOKEN).arg("EX").arg(600);
        }
        pipe.exec_async(&mut connection).await?;
        Ok(raw)
    }

    fn row(&self, id: i64) -> &(String, String) {
        &self.rows[usize::try_from(id - 1).unwrap_or(0)]
    }

    /// The floor of a read.
    async fn get(&mut self, id: i64) -> Outcome<User> {
        let command = redis::cmd("GET").arg(&self.row(id).0).take();
        let bytes: Vec<u8> = command.query_async(&mut self.connection).await?;
        Ok(serde_json::from_slice(&bytes)?)
    }

    /// The same with the tokens that pie asks for, which are not looked at.
    async fn get_with_tokens(&mut self, id: i64) -> Outcome<User> {
        let (row, token) = self.row(id);
        let mut command = redis::cmd("MGET");
        command.arg(row).arg(token).arg(&*self.shared);
        let values: Vec<Vec<u8>> = command.query_async(&mut self.connection).await?;
        Ok(serde_json::from_slice(&values[0])?)
    }

    /// The same for who reads at the same time as others: one question for all that are ready to ask.
    async fn get_together(&self, gathering: &Arc<Gathering>, id: i64) -> Outcome<User> {
        let (sender, answer) = oneshot::channel();
        let first = {
            let mut waiting = gathering.lock().map_err(|_| "a reader panicked")?;
            waiting.push((id, sender));
            waiting.len() == 1
        };
        if first {
            let (mut raw, gathering) = (self.clone(), Arc::clone(gathering));
            tokio::spawn(async move {
                tokio::task::yield_now().await;
                let waiting = gathering.lock().map(|mut waiting| std::mem::take(&mut *waiting));
                let waiting = waiting.unwrap_or_default();
                let mut command = redis::cmd("MGET");
                for (id, _) in &waiting {
                    command.arg(&raw.row(*id).0);
                }
                for (id, _) in &waiting {
                    command.arg(&raw.row(*id).1);
                }
                command.arg(&*raw.shared);
                let values: Result<Vec<Vec<u8>>, _> = command.query_async(&mut raw.connection).await;
                for ((_, sender), bytes) in waiting.into_iter().zip(values.unwrap_or_default()) {
                    let _ = sender.send(bytes);
                }
            });
        }
        Ok(serde_json::from_slice(&answer.await?)?)
    }

    /// The floor of many rows at once, with their tokens or without.
    async fn many(&mut self, count: usize, with_tokens: bool) -> Outcome<Vec<User>> {
        let mut command = redis::cmd("MGET");
        let rows = &self.rows[..count];
        rows.iter().for_each(|(row, _)| _ = command.arg(row));
        if with_tokens {
            rows.iter().for_each(|(_, token)| _ = command.arg(token));
            command.arg(&*self.shared);
        }
        let values: Vec<Vec<u8>> = command.query_async(&mut self.connection).await?;
        Ok(values[..count].iter().map(|bytes| serde_json::from_slice(bytes)).collect::<Result<_, _>>()?)
    }
}

/// Who waits for a question that is asked for all of them.
type Gathering = Mutex<Vec<(i64, oneshot::Sender<Vec<u8>>)>>;

/// How many tasks read at the same time.
const TASKS: i64 = 64;
/// How often each.
const READS: i64 = 500;

/// The time of so many tasks that each read some of the rows, one after the other.
async fn of_tasks<F>(rows: i64, task: impl Fn(Vec<i64>) -> F) -> Outcome<f64>
where
    F: Future<Output = ()> + Send + 'static,
{
    let ids = |task: i64| (0..READS).map(|i| (task * 31 + i) % rows + 1).collect();
    let start = Instant::now();
    let tasks: Vec<_> = (0..TASKS).map(|at| tokio::spawn(task(ids(at)))).collect();
    for task in tasks {
        task.await?;
    }
    Ok(each(start.elapsed(), (TASKS * READS).unsigned_abs()))
}

/// Adds the time of one after the other.
async fn one_by_one(
    time: &mut Duration,
    ids: &[i64],
    mut read: impl AsyncFnMut(i64) -> Outcome<i64>,
) -> Outcome<()> {
    let start = Instant::now();
    for id in ids {
        assert_eq!(read(*id).await?, *id);
    }
    *time += start.elapsed();
    Ok(())
}

async fn hits_in_redis(url: &str) -> Outcome<()> {
    let count = 2_000_i64;
    let engine = Engine::builder()
        .database("sqlite::memory:")
        .redis(RedisConfig::new(url).budget(Duration::from_secs(5)))
        .require_redis()
        .config(CacheConfig {
            key_prefix: format!("pie-bench-{}:", std::process::id()),
            ..CacheConfig::default()
        })
        .build()
        .await?;
    engine.create_tables::<(User,)>().await?;
    User::insert_many(&engine, (1..=count).map(new_user)).await?;
    let mut users = Vec::new();
    for id in 1..=count {
        users.push(User::find_by_id(&engine, id).required().await?);
    }
    engine.cache().flush().await;
    let raw = Raw::new(url, &users).await?;

    let mut sequential = Pair::default();
    let mut protocol = Vec::new();
    let ids: Vec<i64> = (1..=count).collect();
    for _ in 0..TURN_ROUNDS {
        let mut raw = raw.clone();
        let (mut pie, mut floor, mut asked) = (Duration::ZERO, Duration::ZERO, Duration::ZERO);
        for ids in ids.chunks(AT_A_TIME) {
            let read = async |id| {
                let user = User::find_by_id(&engine, id).required().await?;
                assert_eq!(user.source(), pie::Source::Redis);
                Ok(user.id)
            };
            one_by_one(&mut pie, ids, read).await?;
            one_by_one(&mut floor, ids, async |id| Ok(raw.get(id).await?.id)).await?;
            one_by_one(&mut asked, ids, async |id| Ok(raw.get_with_tokens(id).await?.id)).await?;
        }
        let [pie, floor, asked] = [pie, floor, asked].map(|time| each(time, count.unsigned_abs()));
        protocol.push(asked / floor);
        sequential.round(pie, floor);
    }
    sequential.print("l2_hit_seq", &with_tokens(protocol));

    let mut many = Pair::default();
    let mut protocol = Vec::new();
    for _ in 0..ROUNDS {
        let pie = of_tasks(count, |ids| {
            let engine = engine.clone();
            async move {
                for id in ids {
                    let user = User::find_by_id(&engine, id).required().await;
                    assert_eq!(user.map(|user| user.id).ok(), Some(id));
                }
            }
        });
        let pie = pie.await?;
        let floor = of_tasks(count, |ids| {
            let mut raw = raw.clone();
            async move {
                for id in ids {
                    assert_eq!(raw.get(id).await.map(|user| user.id).ok(), Some(id));
                }
            }
        });
        let floor = floor.await?;
        let gathering = Arc::<Gathering>::default();
        let asked = of_tasks(count, |ids| {
            let (raw, gathering) = (raw.clone(), Arc::clone(&gathering));
            async move {
                for id in ids {
                    assert_eq!(raw.get_together(&gathering, id).await.map(|user| user.id).ok(), Some(id));
                }
            }
        });
        protocol.push(asked.await? / floor);
        many.round(pie, floor);
    }
    many.print("l2_hit_64", &with_tokens(protocol));

    let ids: Vec<i64> = (1..=100).collect();
    let mut batch = Pair::default();
    let mut protocol = Vec::new();
    for _ in 0..TURN_ROUNDS {
        let mut raw = raw.clone();
        let (mut pie, mut floors) = (Duration::ZERO, [Duration::ZERO; 2]);
        for _ in 0..TURNS {
            let start = Instant::now();
            for _ in 0..CALLS_AT_A_TIME {
                assert_eq!(User::find_by_ids(&engine, &ids).await?.iter().flatten().count(), 100);
            }
            pie += start.elapsed();
            for (floor, with_tokens) in floors.iter_mut().zip([false, true]) {
                let start = Instant::now();
                for _ in 0..CALLS_AT_A_TIME {
                    assert_eq!(raw.many(100, with_tokens).await?.len(), 100);
                }
                *floor += start.elapsed();
            }
        }
        let [floor, asked] = floors.map(|time| each(time, (TURNS * CALLS_AT_A_TIME) as u64));
        protocol.push(asked / floor);
        batch.round(each(pie, (TURNS * CALLS_AT_A_TIME) as u64), floor);
    }
    batch.print("l2_many_100", &with_tokens(protocol));
    engine.cache().clear().await?;
    engine.close().await;
    Ok(())
}

/// The field for what redis-rs alone takes for the questions that pie asks, beside the floor.
fn with_tokens(ratios: Vec<f64>) -> String {
    format!(", \"with_tokens\": {:.3}", median(ratios))
}

fn main() -> Outcome<()> {
    let Some(url) = std::env::args().nth(1) else {
        return Err("say where Redis is: `shared redis://host:port`".into());
    };
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build()?;
    runtime.block_on(hits_in_redis(&url))
}
