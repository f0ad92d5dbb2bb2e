//! What `engine.cache()` gives: the hand on the cache, for what the types cannot know.

mod get;
mod load;
mod set;

use std::future::Future;
use std::marker::PhantomData;
use std::sync::Arc;
use std::time::Duration;

use serde::Serialize;
use serde::de::DeserializeOwned;

pub use self::get::{Get, GetRequired};
pub use self::load::GetOrLoad;
use self::load::LoadOptions;
pub use self::set::Set;
use super::chain::{Chain, Found, Item, Single, Ticket, Which};
use super::fence::FenceBuilder;
use super::gate::Gate;
use super::glob;
use super::groups::{GroupId, GroupStats, Holding, MANUAL};
use super::manual;
use super::rules::{Limits, Rules};
use super::stamps::StampName;
use super::stats::{CacheStats, LayerStats, MessageStats, Report};
use crate::error::{Error, ErrorKind, Result};
use crate::query::Cached;

/// The cache of an engine: for values of one's own, for statistics and for invalidation by hand.
///
/// Everything here acts within the scope of the handle it came from. Writes through pie need none of it: they invalidate
/// what they touch by themselves.
///
/// Values by hand are anything that serde can write as JSON. Their keys are apart from those of rows and queries, so
/// `set("user:7", …)` never changes what `User::find_by_id` gives; they share families and names, so
/// `delete("user:7")` ends both.
///
/// # Examples
///
/// ```
/// # use pie::prelude::*;
/// # use std::time::Duration;
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> pie::Result<()> {
/// let engine = Engine::builder().database("sqlite::memory:").build().await?;
/// let cache = engine.cache();
/// cache.set("report:2026", &vec![1, 2, 3], Duration::from_secs(300)).tags(["reports"]).await?;
/// let report = cache.get::<Vec<u32>>("report:2026").await?;
/// assert_eq!(report.as_deref(), Some(&vec![1, 2, 3]));
/// cache.delete_by_tags(["reports"]).await?;
/// assert!(!cache.exists("report:2026").await?);
/// println!("{}", cache.stats());
/// for layer in cache.layers() {
///     println!("{}", layer.stats());
/// }
/// # Ok(())
/// # }
/// ```
#[derive(Debug, Clone)]
pub struct Cache {
    pub(super) chain: Arc<Chain>,
    scope: Arc<str>,
    namespaces: Arc<[StampName]>,
    /// Whether this is the cache of a scope within the engine.
    scoped: bool,
    pub(super) defaults: Rules,
    /// How long the lock of a load lasts, in milliseconds.
    lease: u64,
    gate: Gate,
}

/// The longest time to live that Redis and the arithmetic of deadlines take: about 100 years.
pub(crate) const LONGEST_TTL: Duration = Duration::from_secs(100 * 365 * 86_400);

impl Cache {
    pub(crate) fn new(
        chain: Arc<Chain>,
        (scope, namespaces, scoped): (Arc<str>, Vec<StampName>, bool),
        (defaults, lease): (Rules, u64),
        gate: Gate,
    ) -> Self {
        Self { chain, scope, namespaces: namespaces.into(), scoped, defaults, lease, gate }
    }

    pub(crate) fn check(&self) -> Result<()> {
        if self.chain.is_enabled() {
            return Ok(());
        }
        Err(Error::new(
            ErrorKind::Disabled,
            "the cache is switched off: `engine.cache().enable()`, or `enabled: true` in `CacheConfig`, switches it on",
        ))
    }

    /// The policy of a value by hand.
    pub(super) fn rules(&self, ttl: Duration, jitter: Option<Duration>) -> Result<Rules> {
        if ttl.is_zero() {
            return Err(Error::new(
                ErrorKind::InvalidQuery,
                "a ttl of 0: write how long the value is served, or `delete` it",
            ));
        }
        if ttl > LONGEST_TTL {
            return Err(Error::new(
                ErrorKind::InvalidQuery,
                "a ttl of more than 100 years: Redis takes none that long",
            ));
        }
        let jitter = jitter.unwrap_or_else(|| self.defaults.jitter.min(ttl / 2));
        let mut rules = Rules::new(ttl, jitter, self.defaults.empty_ttl.min(ttl));
        rules.limits.max_age = self.defaults.limits.max_age;
        Ok(rules)
    }

    pub(super) fn item(&self, key: &str, tags: &[Box<str>], limits: Limits) -> Result<Item> {
        manual::item(&self.chain, &self.scope, &self.namespaces, key, tags, limits)
    }

    fn stamp(&self, name: &str) -> StampName {
        StampName::new(&self.scope, name)
    }

    /// The value under a key, if a layer has it and it is valid: `Option<Cached<T>>`; with `.required()` `Cached<T>`, where a
    /// missing value is an error that tells whether it was never there ([`ErrorKind::NotFound`]) or is past its time
    /// ([`ErrorKind::Expired`]).
    ///
    /// A value with tags takes a shared layer a second round trip, because its tags come with it; after that memory has it.
    ///
    /// # Errors
    /// [`ErrorKind::Decode`] when the value is no `T`; [`ErrorKind::InvalidQuery`] for a key that cannot be one;
    /// [`ErrorKind::Disabled`] when the cache is switched off. Never because of a layer.
    pub fn get<'c, T>(&'c self, key: &'c str) -> Get<'c, T>
    where
        T: DeserializeOwned + Send + Sync + 'static,
    {
        Get { cache: self, key, types: PhantomData }
    }

    /// The values under several keys, in their order; one round trip to each shared layer for all that memory lacks, and a second one to Redis where it lacks some too.
    ///
    /// # Errors
    /// As [`get`](Self::get).
    pub async fn get_many<T, K>(&self, keys: &[K]) -> Result<Vec<Option<Cached<T>>>>
    where
        T: DeserializeOwned + Send + Sync + 'static,
        K: AsRef<str> + Sync,
    {
        self.check()?;
        let items = keys
            .iter()
            .map(|key| self.item(key.as_ref(), &[], unlimited()).map(Arc::new))
            .collect::<Result<Vec<_>>>()?;
        let found = self.find(&items).await;
        found.into_iter().map(|found| found.map(|found| typed(&found)).transpose()).collect()
    }

    /// Whether a valid value that was set by hand is under a key.
    ///
    /// # Errors
    /// As [`get`](Self::get).
    pub async fn exists(&self, key: &str) -> Result<bool> {
        self.check()?;
        let item = Arc::new(self.item(key, &[], unlimited())?);
        Ok(self.find(&[item]).await.into_iter().any(|found| found.is_some()))
    }

    async fn find(&self, items: &[Arc<Item>]) -> Vec<Option<Found>> {
        let found = self.find_any(items).await;
        found.into_iter().map(|found| found.filter(|found| !found.stale)).collect()
    }

    /// What the layers have, also past its time to live; only what is within it counts as a hit.
    async fn find_any(&self, items: &[Arc<Item>]) -> Single<Option<Found>> {
        let mut tickets: Vec<Option<Ticket>> =
            items.iter().map(|item| Some(self.chain.ticket(item))).collect();
        let all: Vec<usize> = (0..items.len()).collect();
        let which = if self.chain.trusts_memory() { Which::All } else { Which::Shared };
        let found = self.chain.look_up(items, &all, &mut tickets, which).await;
        let group = self.chain.groups.of(&MANUAL);
        for found in &found {
            let hit = found.as_ref().is_some_and(|found| !found.stale);
            if hit {
                group.later_hits.add_one();
            } else {
                group.misses.add(1);
            }
        }
        found
    }

    /// Stores a value under a key, for this time to live, in place of what was there.
    ///
    /// A `set` is a write: what was cached under the key before ends everywhere, and a load that is running meanwhile does
    /// not come back. To store something that was *read* before, use [`fence`](Self::fence). `null` and `[]` count as
    /// empty: they are kept for the engine's `empty_cache_ttl` at most.
    ///
    /// Returns when shared layers have the value, or failed to take it. Dropped half-way, the old value is gone and the
    /// new one may not be there.
    ///
    /// # Errors
    /// [`ErrorKind::InvalidQuery`] for a key or a ttl that cannot be used, or too many tags; [`ErrorKind::InvalidValue`]
    /// when the value has no form in JSON; [`ErrorKind::Disabled`] when the cache is switched off. Never because of a
    /// layer.
    pub fn set<'c, T: Serialize + ?Sized>(&'c self, key: &'c str, value: &T, ttl: Duration) -> Set<'c> {
        Set {
            cache: self,
            values: vec![(key.to_owned(), manual::encode(value))],
            ttl,
            jitter: None,
            tags: Vec::new(),
        }
    }

    /// Stores several values, each as by [`set`](Self::set); one round trip for all to end what was there, one for the
    /// versions, and one for each thousand values.
    ///
    /// # Errors
    /// As [`set`](Self::set); then none is stored.
    pub fn set_many<K, T>(&self, values: impl IntoIterator<Item = (K, T)>, ttl: Duration) -> Set<'_>
    where
        K: Into<String>,
        T: Serialize,
    {
        let values = values.into_iter().map(|(key, value)| (key.into(), manual::encode(&value))).collect();
        Set { cache: self, values, ttl, jitter: None, tags: Vec::new() }
    }

    /// The value under a key; where no layer has it, `load` computes it, once for all that ask at the same time.
    ///
    /// `load` must see every commit before it began. What it gives is never served after an invalidation of the key, its
    /// family, tags or scope that came meanwhile. When the caller that runs it is dropped, another that waits runs its
    /// own; when it fails, all that wait get the error, and nothing is stored. A stored value that is no `T`, as another
    /// version of the program may have left it, counts as missing and is replaced.
    ///
    /// # Errors
    /// What `load` returned; [`ErrorKind::LoadTimeout`]; and as [`set`](Self::set). Never because of a layer.
    ///
    /// # Examples
    ///
    /// ```
    /// # use pie::prelude::*;
    /// # use std::time::Duration;
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() -> pie::Result<()> {
    /// # let engine = Engine::builder().database("sqlite::memory:").build().await?;
    /// let cache = engine.cache();
    /// let sum = cache
    ///     .get_or_load("sum:1000", Duration::from_secs(60), async || Ok((1..=1000_u64).sum::<u64>()))
    ///     .tags(["sums"])
    ///     .await?;
    /// assert_eq!(*sum, 500_500);
    /// # Ok(())
    /// # }
    /// ```
    pub fn get_or_load<'c, T, F, Fut>(&'c self, key: &'c str, ttl: Duration, load: F) -> GetOrLoad<'c, T, F>
    where
        T: Serialize + DeserializeOwned + Send + Sync + 'static,
        F: FnMut() -> Fut + Send + 'c,
        Fut: Future<Output = Result<T>> + Send,
    {
        GetOrLoad { cache: self, key, ttl, load, options: LoadOptions::default(), types: PhantomData }
    }

    /// Takes the versions of everything that a value under this key depends on: to be called *before* the program reads
    /// what it computes the value from. [`Fence::set`](super::Fence::set) then stores it, unless it was invalidated
    /// meanwhile.
    ///
    /// # Errors
    /// [`ErrorKind::InvalidQuery`] for a key or tag that cannot be used; [`ErrorKind::Disabled`] when the cache is switched
    /// off.
    ///
    /// # Examples
    ///
    /// ```
    /// # use pie::prelude::*;
    /// # use std::time::Duration;
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() -> pie::Result<()> {
    /// # let engine = Engine::builder().database("sqlite::memory:").build().await?;
    /// # async fn compute() -> u64 { 7 }
    /// let cache = engine.cache();
    /// let fence = cache.fence("total").tags(["orders"]).await?;
    /// let total = compute().await;
    /// let stored = fence.set(&total, Duration::from_secs(60)).await?;
    /// assert!(stored);
    /// # Ok(())
    /// # }
    /// ```
    pub fn fence<'c>(&'c self, key: &'c str) -> FenceBuilder<'c> {
        FenceBuilder { cache: self, key, tags: Vec::new() }
    }

    /// Ends what depends on the names, also while the cache is off: other processes may use theirs, and this one may switch
    /// it on again.
    pub(crate) async fn invalidate(&self, names: Vec<StampName>) -> Result<()> {
        self.chain.invalidate(names).await;
        self.check()
    }

    /// Whether the cache is on.
    #[must_use]
    pub fn is_enabled(&self) -> bool {
        self.chain.is_enabled()
    }

    /// Switches the cache of the engine and all its clones and scopes on. What was cached before it was switched off is used
    /// again, except for what was invalidated since: writes invalidate also while the cache is off.
    pub fn enable(&self) {
        self.chain.enable(true);
    }

    /// Switches the cache of the engine and all its clones and scopes off: queries run on the database, and the calls of
    /// this type fail with [`ErrorKind::Disabled`]. Invalidations are carried out all the same. Reads that are under way
    /// end as they began.
    ///
    /// # Examples
    ///
    /// ```
    /// # use pie::prelude::*;
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() -> pie::Result<()> {
    /// # let engine = Engine::builder().database("sqlite::memory:").build().await?;
    /// engine.cache().disable();
    /// let error = engine.cache().get::<u32>("answer").await.unwrap_err();
    /// assert_eq!(error.kind(), pie::ErrorKind::Disabled);
    /// engine.cache().enable();
    /// # Ok(())
    /// # }
    /// ```
    pub fn disable(&self) {
        self.chain.enable(false);
    }

    /// Makes the values of a logical key invalid in every layer: `user:7`, or what a `key_by_…` function returns.
    ///
    /// After it returned, no read through this engine is answered with what was cached under the key before, also not by a
    /// load that was running meanwhile. Deleting a key that is not cached is no error.
    ///
    /// # Errors
    /// [`ErrorKind::Disabled`] when the cache is switched off, after it was done; [`ErrorKind::InvalidQuery`] for a key that
    /// cannot be one.
    pub async fn delete(&self, key: &str) -> Result<()> {
        manual::check_key(key)?;
        self.invalidate(vec![self.stamp(&format!("k:{key}"))]).await
    }

    /// Makes the values invalid whose logical key matches a pattern, with the rules of Redis: `*`, `?`, `[a-z]`, `[^a]`,
    /// and `\` before a character that is meant itself. The pattern has to match the whole key.
    ///
    /// `users:*`, which names a whole family, costs one round trip, whatever is cached; so does `*`, which is
    /// [`clear`](Self::clear). Any other pattern walks over the keys in Redis (`SCAN`) and in memory. A pattern without a
    /// wildcard is a key. Loads that are running are ended as well.
    ///
    /// # Errors
    /// [`ErrorKind::InvalidQuery`] for an empty pattern, a `[` without its `]`, or a `\` at the end;
    /// [`ErrorKind::Disabled`] when the cache is switched off.
    pub async fn delete_by_pattern(&self, pattern: &str) -> Result<()> {
        if let Some(mistake) = glob::mistake_in(pattern) {
            return Err(Error::new(ErrorKind::InvalidQuery, mistake));
        }
        if !glob::is_pattern(pattern) {
            return self.delete(pattern).await;
        }
        if pattern == "*" {
            return self.clear().await;
        }
        if let Some(family) = pattern.strip_suffix(":*")
            && !family.contains(':')
            && !glob::is_pattern(family)
        {
            return self.invalidate(vec![self.stamp(&format!("f:{family}"))]).await;
        }
        self.chain.invalidate_pattern(&self.scope, pattern).await;
        self.check()
    }

    /// Makes every value invalid that has one of the tags. Costs the same for one value and for a million.
    ///
    /// No tags at all is no error, and does nothing.
    ///
    /// # Errors
    /// [`ErrorKind::Disabled`] when the cache is switched off; [`ErrorKind::InvalidQuery`] for an empty tag: then nothing
    /// is invalidated.
    pub async fn delete_by_tags<T: AsRef<str>>(&self, tags: impl IntoIterator<Item = T>) -> Result<()> {
        let mut names = Vec::new();
        for tag in tags {
            manual::check_tag(tag.as_ref())?;
            names.push(self.stamp(&format!("t:{}", tag.as_ref())));
        }
        names.sort_unstable();
        names.dedup();
        self.invalidate(names).await
    }

    /// Makes every value of this scope, and of scopes within it, invalid in every layer and for every process. Without a
    /// scope, also frees the memory of this one.
    ///
    /// # Errors
    /// [`ErrorKind::Disabled`] when the cache is switched off.
    pub async fn clear(&self) -> Result<()> {
        let done = self.invalidate(vec![self.stamp("n")]).await;
        if !self.scoped {
            self.chain.free().await;
        }
        done
    }

    /// Waits until every value on its way to a shared layer has arrived there, or failed to, and values that are loaded
    /// anew in the background have arrived.
    pub async fn flush(&self) {
        self.chain.flush().await;
    }

    /// What the cache did since the engine was built; one look-up counts once. Counts the whole engine, whatever scope the
    /// handle has.
    #[must_use]
    pub fn stats(&self) -> CacheStats {
        self.chain.stats()
    }

    /// Everything that is counted, as data and, by its `Display`, as tables: all look-ups, each layer, each model and cached
    /// function, and messages of other processes.
    #[must_use]
    pub fn report(&self) -> Report {
        self.chain.report()
    }

    /// What the layers of this process hold, for each model, cached function, and the values by hand; the largest first within
    /// each layer. Layers that cannot show their entries are left out. Walks over every entry: for a look now and then, not
    /// for every scrape.
    ///
    /// # Examples
    ///
    /// ```
    /// # use pie::prelude::*;
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() -> pie::Result<()> {
    /// # let engine = Engine::builder().database("sqlite::memory:").build().await?;
    /// engine.cache().set("answer", &42, std::time::Duration::from_secs(60)).await?;
    /// for holding in engine.cache().holdings() {
    ///     println!("{}: {} has {} keys, {} bytes", holding.layer, holding.name, holding.keys, holding.size);
    /// }
    /// # assert_eq!(engine.cache().holdings()[0].keys, 1);
    /// # Ok(())
    /// # }
    /// ```
    #[must_use]
    pub fn holdings(&self) -> Vec<Holding> {
        self.chain.holdings()
    }

    pub(crate) fn group_stats(&self, id: &'static GroupId) -> GroupStats {
        self.chain.groups.of(id).stats()
    }

    /// What was heard from other processes, and how late.
    #[must_use]
    pub fn messages(&self) -> MessageStats {
        self.chain.message_stats()
    }

    /// The layers, in the order they are asked.
    #[must_use]
    pub fn layers(&self) -> Vec<LayerHandle> {
        (0..self.chain.layer_count()).map(|at| LayerHandle { chain: Arc::clone(&self.chain), at }).collect()
    }
}

/// Of a value by hand, the writer alone says how long it lives; a reader stores nothing in a shared layer.
fn unlimited() -> Limits {
    const AGES: u64 = u64::MAX >> 2;
    Limits {
        full: AGES,
        empty: AGES,
        stale: 0,
        stale_if_error: 0,
        max_age: u64::MAX,
        patience: u64::MAX,
        life: Some(0),
    }
}

fn typed<T: DeserializeOwned + Send + Sync + 'static>(found: &Found) -> Result<Cached<T>> {
    let value = manual::decode::<T>(found.entry.value())?;
    Ok(Cached::told(value, found.told()))
}

/// How long the lock of a load lasts when nothing else is said, in milliseconds.
pub(crate) const DEFAULT_LEASE: u64 = 5_000;

/// One layer of the chain.
#[derive(Debug, Clone)]
pub struct LayerHandle {
    chain: Arc<Chain>,
    at: usize,
}

impl LayerHandle {
    /// What the layer did since the engine was built, and what it holds.
    #[must_use]
    pub fn stats(&self) -> LayerStats {
        match self.chain.layer_stats(self.at) {
            Some(stats) => stats,
            None => unreachable!("a handle is made for a layer that exists, and none is ever removed"),
        }
    }

    /// Empties this layer alone, without making anything invalid: the next read is answered by the layer below it.
    ///
    /// # Errors
    /// The layer failed.
    pub async fn evict_all(&self) -> Result<()> {
        self.chain.free_layer(self.at).await
    }
}
