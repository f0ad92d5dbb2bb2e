//! The property test of the write path: random models, random reads of every shape, random writes of every kind; after each write
//! every cached answer is the uncached one.
//!
//! Models follow from a number ([`random`]), questions and steps from words of 64 bits ([`question`], [`steps`]), so that a failure can be made smaller by leaving
//! words out. The suite has to find each of the write path's mistakes in `mistake.rs`, or it would prove nothing.
//!
//! - `PIE_PROPERTY_STEPS`: how many writes at least (100,000).
//! - `PIE_PROPERTY_SEED`: the seed of the run, which is printed; another one each time without it.
//! - `PIE_PROPERTY_MODELS`, while compiling: with which number the models begin.

mod question;
mod random;
#[cfg(any(feature = "postgres", feature = "mysql", feature = "mongodb"))]
mod server;
mod steps;
mod write;

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use fastrand::Rng;
use proptest::prelude::*;
use proptest::test_runner::{Config, RngAlgorithm, TestCaseError, TestError, TestRng, TestRunner};

use self::question::Question;
use self::random::{Random, Randomly};
use self::steps::{Step, Unseen};
use crate::cache::BoxFuture;
use crate::cache::stamps::StampName;
use crate::database::{
    Database, DatabaseOptions, RawRows, RawStatement, Returns, Row, Savepoint, Session, Sqlite, Transaction,
    TxOptions, Written,
};
use crate::engine::Engine;
use crate::error::Result;
use crate::mistake::{self, Mistake};
use crate::model::Schema;
use crate::plan::{ReadPlan, WritePlan};

/// How many models there are.
const MODELS: u32 = 16;
/// The number of the first of them.
const FIRST: u32 = match option_env!("PIE_PROPERTY_MODELS") {
    Some(text) => match u32::from_str_radix(text, 10) {
        Ok(first) => first,
        Err(_) => panic!("PIE_PROPERTY_MODELS is a number"),
    },
    None => 0,
};
/// How many questions are asked after each write.
const QUESTIONS: usize = 14;

/// What reads under lock do not see: nothing, or some rows.
type Hidden = Arc<Mutex<Option<Unseen>>>;

/// A database of which a locking read may miss a row, as under READ COMMITTED it misses one that is committed right after.
#[derive(Debug, Clone)]
struct Hiding(Arc<dyn Database>, Hidden);

struct HidingSession<S: ?Sized>(Hidden, Box<S>);

impl<S: Session + ?Sized> Session for HidingSession<S> {
    fn read<'a>(&'a mut self, plan: &'a ReadPlan) -> BoxFuture<'a, Result<Vec<Row>>> {
        Box::pin(async move {
            let mut rows = self.1.read(plan).await?;
            let hidden = *self.0.lock().unwrap_or_else(PoisonError::into_inner);
            if plan.for_update {
                match hidden {
                    None => {}
                    Some(Unseen::FirstRow) => drop(rows.drain(..rows.len().min(1))),
                    Some(Unseen::AllRows) => rows.clear(),
                }
            }
            Ok(rows)
        })
    }

    fn write<'a>(&'a mut self, plan: &'a WritePlan) -> BoxFuture<'a, Result<Written>> {
        self.1.write(plan)
    }

    fn raw<'a>(&'a mut self, statement: &'a RawStatement) -> BoxFuture<'a, Result<RawRows>> {
        self.1.raw(statement)
    }
}

impl Transaction for HidingSession<dyn Transaction> {
    fn savepoint(&mut self, savepoint: Savepoint) -> BoxFuture<'_, Result<()>> {
        self.1.savepoint(savepoint)
    }

    fn commit(self: Box<Self>) -> BoxFuture<'static, Result<()>> {
        self.1.commit()
    }

    fn rollback(self: Box<Self>) -> BoxFuture<'static, Result<()>> {
        self.1.rollback()
    }
}

impl Database for Hiding {
    fn name(&self) -> &'static str {
        self.0.name()
    }

    fn session(&self) -> Box<dyn Session> {
        Box::new(HidingSession(Arc::clone(&self.1), self.0.session()))
    }

    fn begin(&self, options: TxOptions) -> BoxFuture<'_, Result<Box<dyn Transaction>>> {
        Box::pin(async move {
            let inner = self.0.begin(options).await?;
            Ok(Box::new(HidingSession(Arc::clone(&self.1), inner)) as Box<dyn Transaction>)
        })
    }

    fn create_table(&self, schema: &'static Schema) -> BoxFuture<'_, Result<()>> {
        self.0.create_table(schema)
    }

    fn transactions(&self) -> bool {
        self.0.transactions()
    }

    fn is_atomic(&self) -> bool {
        self.0.is_atomic()
    }

    fn check_model(&self, schema: &'static Schema) -> Result<()> {
        self.0.check_model(schema)
    }

    fn returns(&self) -> Returns {
        self.0.returns()
    }

    fn max_values(&self) -> usize {
        self.0.max_values()
    }

    fn close(&self) -> BoxFuture<'_, ()> {
        self.0.close()
    }
}

/// What the runs did, all together.
#[derive(Debug, Default)]
struct Counts {
    steps: AtomicU64,
    reads: AtomicU64,
    hits: AtomicU64,
}

impl Counts {
    fn add(counter: &AtomicU64, count: u64) {
        counter.fetch_add(count, Ordering::Relaxed);
    }

    fn get(counter: &AtomicU64) -> u64 {
        counter.load(Ordering::Relaxed)
    }
}

/// A program: the number of the model, and a word for each step.
type Program = (u32, Vec<u64>);

/// What a program is run on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Place {
    /// One engine, SQLite in memory.
    Alone,
    /// One engine, on this server.
    #[cfg(any(feature = "postgres", feature = "mysql", feature = "mongodb"))]
    On(server::Server),
    /// Two, with one Redis and one database; each step by one of them.
    #[cfg(feature = "redis")]
    Two(u16),
}

async fn engines(place: Place) -> Result<(Hidden, Vec<Engine>)> {
    let inner: Arc<dyn Database> = match place {
        #[cfg(any(feature = "postgres", feature = "mysql", feature = "mongodb"))]
        Place::On(server) => server.fresh().await?,
        _ => Arc::new(Sqlite::open("sqlite::memory:", DatabaseOptions::default()).await?),
    };
    let hidden = Hidden::default();
    let database = Arc::new(Hiding(inner, Arc::clone(&hidden)));
    match place {
        Place::Alone => Ok((hidden, vec![Engine::builder().database(database).build().await?])),
        #[cfg(any(feature = "postgres", feature = "mysql", feature = "mongodb"))]
        Place::On(_) => Ok((hidden, vec![Engine::builder().database(database).build().await?])),
        #[cfg(feature = "redis")]
        Place::Two(port) => {
            let key_prefix = format!("property-{:x}:", fastrand::u64(..));
            let mut engines = Vec::new();
            for _ in 0..2 {
                let config =
                    crate::CacheConfig { key_prefix: key_prefix.clone(), ..crate::CacheConfig::default() };
                let engine = Engine::builder()
                    .database(Arc::clone(&database))
                    .memory(crate::Memory::default())
                    .redis(crate::RedisConfig::new(format!("127.0.0.1:{port}")))
                    .config(config)
                    .require_redis()
                    .build()
                    .await?;
                engines.push(engine);
            }
            for engine in &engines {
                until(|| engine.cache().messages().attached).await;
            }
            Ok((hidden, engines))
        }
    }
}

#[allow(clippy::panic, reason = "it fails a test")]
async fn until(condition: impl Fn() -> bool) {
    let deadline = std::time::Instant::now() + std::time::Duration::from_secs(60);
    while !condition() {
        assert!(std::time::Instant::now() < deadline, "waited a minute in vain for a message");
        tokio::task::yield_now().await;
    }
}

/// Waits until what `from` told the others has arrived there.
async fn delivered(from: &Engine, engines: &[Engine]) -> Result<()> {
    let name = || StampName::new(from.scope(), "k:delivered");
    let seen: Vec<_> = engines.iter().map(|engine| engine.chain().stamps.snapshot([&name()])).collect();
    from.cache().delete("delivered").await?;
    for (engine, before) in engines.iter().zip(&seen) {
        until(|| !engine.chain().stamps.holds(before.as_ref())).await;
    }
    Ok(())
}

/// Asks a question with and without the cache; what is wrong, if anything is.
async fn compare<M: Randomly>(
    engine: &Engine,
    question: &Question,
    counts: &Counts,
) -> Result<Option<String>> {
    let loads = || engine.chain().groups.of((M::SCHEMA.group)()).loads.get();
    let before = loads();
    let cached = question.ask::<M>(engine, true).await?;
    Counts::add(&counts.reads, 1);
    // What was just loaded is what the database said; only what was not can be another answer.
    if loads() > before && question.is_one_entry() {
        return Ok(None);
    }
    Counts::add(&counts.hits, 1);
    let uncached = question.ask::<M>(engine, false).await?;
    Ok((cached != uncached).then(|| {
        format!("{}: the cache says {}, the database {}", question.show(), cached.show(), uncached.show())
    }))
}

async fn run<M: Randomly>(words: &[u64], place: Place, counts: &Counts) -> Result<Option<String>> {
    let (hidden, engines) = engines(place).await?;
    engines[0].create_tables::<(M,)>().await?;
    let hide = |unseen: Option<Unseen>| *hidden.lock().unwrap_or_else(PoisonError::into_inner) = unseen;
    let mut rng = Rng::with_seed(words.first().copied().unwrap_or_default());
    let mut questions: Vec<Question> = (0..QUESTIONS).map(|_| Question::draw::<M>(&mut rng)).collect();
    let mut wrong = None;
    'steps: for (at, word) in words.iter().enumerate() {
        let mut rng = Rng::with_seed(*word);
        let engine = &engines[rng.usize(..engines.len())];
        let step = Step::draw::<M>(&mut rng);
        step.run::<M>(engine, hide).await?;
        Counts::add(&counts.steps, 1);
        if engines.len() > 1 {
            delivered(engine, &engines).await?;
        }
        // One of them is new now and then, and so not in the cache.
        if rng.u8(..4) == 0 {
            let place = rng.usize(..QUESTIONS);
            questions[place] = Question::draw::<M>(&mut rng);
        }
        for question in &questions {
            for (number, engine) in engines.iter().enumerate() {
                if let Some(what) = compare::<M>(engine, question, counts).await? {
                    wrong = Some(format!("after step {at}, {}, engine {number}: {what}", step.show()));
                    break 'steps;
                }
            }
        }
    }
    for engine in &engines {
        engine.close().await;
    }
    Ok(wrong)
}

/// Runs a program on the model of its number.
async fn run_program((model, words): &Program, place: Place, counts: &Counts) -> Result<Option<String>> {
    macro_rules! models {
        ($($number:literal)*) => {
            match model % MODELS {
                $($number => run::<Random<{ FIRST + $number }>>(words, place, counts).await,)*
                _ => Ok(None),
            }
        };
    }
    models!(0 1 2 3 4 5 6 7 8 9 10 11 12 13 14 15)
}

#[allow(clippy::expect_used, reason = "it fails a test")]
fn block<T>(work: impl Future<Output = T>) -> T {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    runtime.expect("a runtime").block_on(work)
}

fn setting(name: &str) -> Option<u64> {
    std::env::var(name).ok().and_then(|text| text.parse().ok())
}

/// Runs random programs until this many steps were done; the smallest one that goes wrong, if one does. Every `stride`th seed is its own.
fn search(
    seed: u64,
    stride: u64,
    place: Place,
    steps: u64,
    counts: &Counts,
    shrinks: u32,
) -> std::result::Result<(), String> {
    let word = any::<u64>().no_shrink();
    let strategy = ((0..MODELS).no_shrink(), prop::collection::vec(word, 1..300));
    let mut seeds = (seed..).step_by(usize::try_from(stride).unwrap_or(1));
    while Counts::get(&counts.steps) < steps {
        let seed = seeds.next().unwrap_or_default();
        let mut bytes = [0; 32];
        bytes[..8].copy_from_slice(&seed.to_le_bytes());
        let rng = TestRng::from_seed(RngAlgorithm::ChaCha, &bytes);
        let config =
            Config { cases: 1, failure_persistence: None, max_shrink_iters: shrinks, ..Config::default() };
        let outcome = TestRunner::new_with_rng(config, rng).run(&strategy, |program| {
            match block(run_program(&program, place, counts)) {
                Ok(None) => Ok(()),
                Ok(Some(wrong)) => Err(TestCaseError::fail(wrong)),
                Err(error) => Err(TestCaseError::fail(format!("{error:?}"))),
            }
        });
        match outcome {
            Ok(()) => {}
            Err(TestError::Fail(reason, (model, words))) => {
                return Err(format!(
                    "PIE_PROPERTY_SEED={seed}, model {}: {reason}\n{words:?}",
                    model + FIRST
                ));
            }
            Err(TestError::Abort(reason)) => return Err(reason.to_string()),
        }
    }
    Ok(())
}

/// Searches in two threads, and fails the test with the smallest program that goes wrong.
#[allow(
    clippy::print_stdout,
    clippy::panic,
    clippy::expect_used,
    reason = "it fails a test, and seeds are for people"
)]
fn check(what: &str, place: Place, steps: u64) -> Counts {
    let seed = setting("PIE_PROPERTY_SEED").unwrap_or_else(|| fastrand::u64(..1 << 40));
    println!("{what}: PIE_PROPERTY_SEED={seed}");
    let counts = Counts::default();
    std::thread::scope(|scope| {
        let search = |seed| search(seed, 2, place, steps, &counts, 400);
        let threads = [seed, seed + 1].map(|seed| scope.spawn(move || search(seed)));
        for thread in threads {
            if let Err(wrong) = thread.join().expect("no panic") {
                panic!("{what}: {wrong}");
            }
        }
    });
    let (steps, reads, hits) = (&counts.steps, &counts.reads, &counts.hits);
    let (steps, reads, hits) = (Counts::get(steps), Counts::get(reads), Counts::get(hits));
    println!("{what}: {steps} steps, {reads} reads, {} % of them hits", hits * 100 / reads.max(1));
    counts
}

fn steps() -> u64 {
    setting("PIE_PROPERTY_STEPS").unwrap_or(100_000)
}

#[test]
fn cached_answers_are_the_uncached_ones() {
    let counts = check("one engine", Place::Alone, steps());
    let (reads, hits) = (Counts::get(&counts.reads), Counts::get(&counts.hits));
    assert!(
        hits * 2 >= reads,
        "{hits} hits of {reads}: the property says little of a cache that is not used"
    );
}

#[test]
#[allow(clippy::print_stdout, reason = "how soon each is found tells how much the test sees")]
fn each_mistake_of_the_write_path_is_found() {
    use Mistake::{
        BeyondLocked, ForgetsNegatives, ForgetsNew, ForgetsNull, ForgetsOld, NewFromProgram,
        SavepointForgetsOuter, UpsertAssumesInsert,
    };
    let (mut unfound, mut found_after) = (Vec::new(), Vec::new());
    for mistake in [
        ForgetsOld,
        ForgetsNew,
        ForgetsNegatives,
        ForgetsNull,
        NewFromProgram,
        BeyondLocked,
        UpsertAssumesInsert,
        SavepointForgetsOuter,
    ] {
        mistake::make(Some(mistake));
        let counts = Counts::default();
        // No need to make them smaller.
        if search(1, 1, Place::Alone, steps(), &counts, 0).is_ok() {
            unfound.push(mistake);
        }
        found_after.push((mistake, Counts::get(&counts.steps)));
    }
    mistake::make(None);
    println!("found after how many steps: {found_after:?}");
    assert!(unfound.is_empty(), "not found: {unfound:?}");
}

/// The port of the Redis that `scripts/test` started; without one the test says so, and fails under `CI=true`.
#[cfg(feature = "redis")]
#[allow(clippy::print_stderr, reason = "says aloud that a test did not run")]
fn redis_port() -> Option<u16> {
    let port = setting("PIE_TEST_REDIS_PORT").and_then(|port| u16::try_from(port).ok());
    if port.is_none() {
        let why = "PIE_TEST_REDIS_PORT is not set: scripts/test starts a Redis and sets it";
        assert!(std::env::var("CI").as_deref() != Ok("true"), "{why}");
        eprintln!("NOT RUN: {why}");
    }
    port
}

#[cfg(feature = "redis")]
#[test]
fn so_they_are_in_two_engines_once_the_messages_have_arrived() {
    let Some(port) = redis_port() else { return };
    let counts = check("two engines", Place::Two(port), steps() / 20);
    let (reads, hits) = (Counts::get(&counts.reads), Counts::get(&counts.hits));
    assert!(hits * 2 >= reads, "{hits} hits of {reads}");
}

/// A test for each server, with its name, its constructor and its feature.
#[cfg(any(feature = "postgres", feature = "mysql", feature = "mongodb"))]
macro_rules! on_servers {
    ($($(#[$attribute:meta])* $name:ident: $Server:ident),*) => {$(
        $(#[$attribute])*
        #[test]
        fn $name() {
            let server = server::Server::$Server;
            if server.is_there() {
                let counts = check(stringify!($name), Place::On(server), steps() / 40);
                let (reads, hits) = (Counts::get(&counts.reads), Counts::get(&counts.hits));
                assert!(hits * 2 >= reads, "{hits} hits of {reads}");
            }
        }
    )*};
}

#[cfg(any(feature = "postgres", feature = "mysql", feature = "mongodb"))]
on_servers! {
    #[cfg(feature = "postgres")]
    so_they_are_on_postgres: Postgres,
    #[cfg(feature = "mysql")]
    so_they_are_on_mariadb: MariaDb,
    #[cfg(feature = "mysql")]
    so_they_are_without_returning: MySql,
    #[cfg(feature = "mongodb")]
    so_they_are_on_mongodb: MongoDb,
    #[cfg(feature = "mongodb")]
    so_they_are_in_transactions_of_mongodb: MongoDbSet
}
