//! Filling the cache before the first visitor comes.

use std::borrow::Cow;
use std::fmt;
use std::future::IntoFuture;
use std::panic::AssertUnwindSafe;
use std::time::{Duration, Instant};

use futures_util::stream::FuturesUnordered;
use futures_util::{FutureExt, StreamExt};

use super::Engine;
use crate::cache::BoxFuture;
use crate::error::{Error, ErrorKind, Result};
use crate::model::Model;
use crate::query::{Cached, Page, Source};

/// Named queries that are run once, some at a time, so that their answers are in the cache; made by [`Engine::warmup`].
///
/// A query that fails or panics is logged, counted, and passed over. One whose answer is in the cache already is skipped; so
/// are all while the cache is off. Awaiting it gives a [`WarmupReport`]; dropping the future stops the queries that are
/// running.
///
/// # Examples
///
/// ```
/// # use pie::prelude::*;
/// # use std::time::Duration;
/// # #[derive(Debug, Clone, Model)]
/// # struct User { #[pie(id, auto)] id: i64, #[pie(index)] status: String, role: String }
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> pie::Result<()> {
/// # let engine = Engine::builder().database("sqlite::memory:").build().await?;
/// # engine.create_tables::<(User,)>().await?;
/// let hour = Duration::from_secs(3600);
/// let report = engine
///     .warmup()
///     .query("active_users", || User::list_by_status(&engine, "active").cache(hour))
///     .query("admins", || User::query(&engine).filter(User::ROLE.eq("admin")).cache(hour))
///     .concurrency(2)
///     .on_progress(|progress| println!("{progress}"))
///     .await;
/// assert_eq!((report.loaded(), report.failed(), report.skipped()), (2, 0, 0));
/// # Ok(())
/// # }
/// ```
#[must_use = "await it"]
pub struct Warmup<'a> {
    engine: Engine,
    queries: Vec<(Cow<'static, str>, Start<'a>)>,
    concurrency: usize,
    progress: Option<Progress<'a>>,
}

type Start<'a> = Box<dyn FnOnce() -> BoxFuture<'a, Result<Answer>> + Send + 'a>;
type Progress<'a> = Box<dyn FnMut(&WarmupProgress<'_>) + Send + 'a>;

/// What is known of an answer: who gave it, and how many rows it has.
type Answer = (Option<Source>, u64);

impl fmt::Debug for Warmup<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let names: Vec<&str> = self.queries.iter().map(|(name, _)| &**name).collect();
        f.debug_struct("Warmup")
            .field("queries", &names)
            .field("concurrency", &self.concurrency)
            .finish_non_exhaustive()
    }
}

mod sealed {
    pub trait Sealed {}
}

/// What a query of a [`Warmup`] may give: the answers of [`Query`](crate::Query) and `find_by_ids`, or `()`.
pub trait Warm: sealed::Sealed {
    /// Who gave the answer, where it tells; counts and `()` do not, and count as loaded.
    #[doc(hidden)]
    fn source(&self) -> Option<Source>;
    /// How many rows it has, or the number itself.
    #[doc(hidden)]
    fn rows(&self) -> u64;
}

macro_rules! warm {
    ($([$($generics:tt)*] $type:ty: |$value:ident| $source:expr, $rows:expr;)*) => {$(
        impl<$($generics)*> sealed::Sealed for $type {}
        impl<$($generics)*> Warm for $type {
            fn source(&self) -> Option<Source> {
                let $value = self;
                $source
            }
            fn rows(&self) -> u64 {
                let $value = self;
                $rows
            }
        }
    )*};
}

warm! {
    [T: Send + Sync + 'static] Cached<Vec<T>>: |rows| Some(Cached::source(rows)), rows.len() as u64;
    [T: Send + Sync + 'static] Cached<Page<T>>: |page| Some(Cached::source(page)), page.rows.len() as u64;
    [M: Model] Cached<M>: |row| Some(Cached::source(row)), { let _ = row; 1 };
    [M: Model] Option<Cached<M>>: |row| row.as_ref().map(Cached::source), u64::from(row.is_some());
    [M: Model] Vec<Option<Cached<M>>>: |rows| {
        let known: Vec<Source> = rows.iter().flatten().map(Cached::source).collect();
        // Loaded if any of them was.
        known.iter().find(|source| **source == Source::Database).or(known.first()).copied()
    }, rows.iter().flatten().count() as u64;
    [] u64: |number| { let _ = number; None }, *number;
    [] bool: |any| { let _ = any; None }, u64::from(*any);
    [] (): |_nothing| None, 0;
}

/// How a query of a [`Warmup`] ended.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub enum WarmupOutcome {
    /// The database answered, and the answer is cached.
    Loaded,
    /// The answer was in the cache already, or the cache is off.
    Skipped,
    /// The query failed or panicked.
    Failed(Error),
}

/// One query of a [`Warmup`], after it was run.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct WarmedQuery {
    /// Its name.
    pub name: Cow<'static, str>,
    /// How it ended.
    pub outcome: WarmupOutcome,
    /// How many rows the answer has; for a count the number.
    pub rows: u64,
    /// How long it took.
    pub took: Duration,
}

impl fmt::Display for WarmedQuery {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { name, rows, took, .. } = self;
        match &self.outcome {
            WarmupOutcome::Loaded => write!(f, "{name}: loaded, {rows} rows in {took:.1?}"),
            WarmupOutcome::Skipped => write!(f, "{name}: skipped, in the cache already or the cache is off"),
            WarmupOutcome::Failed(error) => write!(f, "{name}: failed after {took:.1?}: {error}"),
        }
    }
}

/// How far a [`Warmup`] is: told after each query.
#[derive(Debug, Clone, Copy)]
#[non_exhaustive]
pub struct WarmupProgress<'p> {
    /// How many queries are done, this one included.
    pub done: usize,
    /// How many there are.
    pub total: usize,
    /// The query that was done last.
    pub query: &'p WarmedQuery,
}

impl fmt::Display for WarmupProgress<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "[{}/{}] {}", self.done, self.total, self.query)
    }
}

/// What a [`Warmup`] did.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct WarmupReport {
    /// The queries, in the order they were given.
    pub queries: Vec<WarmedQuery>,
    /// How long it took altogether.
    pub took: Duration,
}

impl WarmupReport {
    fn count(&self, wanted: impl Fn(&WarmupOutcome) -> bool) -> usize {
        self.queries.iter().filter(|query| wanted(&query.outcome)).count()
    }

    /// How many queries were answered by the database.
    #[must_use]
    pub fn loaded(&self) -> usize {
        self.count(|outcome| matches!(outcome, WarmupOutcome::Loaded))
    }

    /// How many failed.
    #[must_use]
    pub fn failed(&self) -> usize {
        self.count(|outcome| matches!(outcome, WarmupOutcome::Failed(_)))
    }

    /// How many were skipped.
    #[must_use]
    pub fn skipped(&self) -> usize {
        self.count(|outcome| matches!(outcome, WarmupOutcome::Skipped))
    }
}

impl fmt::Display for WarmupReport {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (loaded, failed, skipped) = (self.loaded(), self.failed(), self.skipped());
        write!(f, "{loaded} loaded, {failed} failed, {skipped} skipped in {:.1?}", self.took)?;
        self.queries.iter().try_for_each(|query| write!(f, "\n- {query}"))
    }
}

impl Engine {
    /// Begins to name queries whose answers shall be in the cache before anybody asks.
    pub fn warmup<'a>(&self) -> Warmup<'a> {
        Warmup { engine: self.clone(), queries: Vec::new(), concurrency: 4, progress: None }
    }
}

impl<'a> Warmup<'a> {
    /// Adds a query under a name. The closure is called when it is the query's turn; it gives a query that uses the cache.
    pub fn query<F, Q, T>(mut self, name: impl Into<Cow<'static, str>>, query: F) -> Self
    where
        F: FnOnce() -> Q + Send + 'a,
        Q: IntoFuture<Output = Result<T>>,
        Q::IntoFuture: Send + 'a,
        T: Warm,
    {
        let start: Start<'a> = Box::new(move || {
            let query = query().into_future();
            Box::pin(query.map(|answer| answer.map(|answer| (answer.source(), answer.rows()))))
        });
        self.queries.push((name.into(), start));
        self
    }

    /// Runs at most this many queries at once; 4 by default, and at least one.
    pub fn concurrency(mut self, queries: usize) -> Self {
        self.concurrency = queries.max(1);
        self
    }

    /// Calls this after each query.
    pub fn on_progress(mut self, progress: impl FnMut(&WarmupProgress<'_>) + Send + 'a) -> Self {
        self.progress = Some(Box::new(progress));
        self
    }

    async fn run(self) -> WarmupReport {
        let Self { engine, queries, concurrency, mut progress } = self;
        let (start, total) = (Instant::now(), queries.len());
        let engine = &engine;
        let (mut waiting, mut running) = (queries.into_iter().enumerate(), FuturesUnordered::new());
        let mut done: Vec<(usize, WarmedQuery)> = Vec::with_capacity(total);
        loop {
            while running.len() < concurrency
                && let Some((at, (name, start))) = waiting.next()
            {
                running.push(async move { (at, warm(engine, name, start).await) });
            }
            let Some((at, query)) = running.next().await else { break };
            let told = WarmupProgress { done: done.len() + 1, total, query: &query };
            if let Some(progress) = &mut progress {
                progress(&told);
            }
            done.push((at, query));
        }
        done.sort_by_key(|(at, _)| *at);
        WarmupReport { queries: done.into_iter().map(|(_, query)| query).collect(), took: start.elapsed() }
    }
}

async fn warm(engine: &Engine, name: Cow<'static, str>, start: Start<'_>) -> WarmedQuery {
    let begun = Instant::now();
    if !engine.cache().is_enabled() {
        return WarmedQuery { name, outcome: WarmupOutcome::Skipped, rows: 0, took: begun.elapsed() };
    }
    let answer = match std::panic::catch_unwind(AssertUnwindSafe(start)) {
        Ok(query) => AssertUnwindSafe(query).catch_unwind().await,
        Err(panic) => Err(panic),
    };
    let answer = answer.unwrap_or_else(|_| Err(Error::new(ErrorKind::Interrupted, "the query panicked")));
    let took = begun.elapsed();
    let (outcome, rows) = match answer {
        Ok((None | Some(Source::Database), rows)) => {
            tracing::info!(query = &*name, rows, ?took, "warmed up");
            (WarmupOutcome::Loaded, rows)
        }
        Ok((Some(_), rows)) => (WarmupOutcome::Skipped, rows),
        Err(error) => {
            tracing::warn!(query = &*name, %error, "could not be warmed up, and is passed over");
            (WarmupOutcome::Failed(error), 0)
        }
    };
    WarmedQuery { name, outcome, rows, took }
}

impl<'a> IntoFuture for Warmup<'a> {
    type Output = WarmupReport;
    type IntoFuture = BoxFuture<'a, WarmupReport>;

    fn into_future(self) -> Self::IntoFuture {
        Box::pin(self.run())
    }
}
