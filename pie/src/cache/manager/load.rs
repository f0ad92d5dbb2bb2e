//! Values by hand that are loaded when they are missing.

use std::fmt;
use std::future::{Future, IntoFuture};
use std::marker::PhantomData;
use std::sync::Arc;
use std::time::Duration;

use serde::Serialize;
use serde::de::DeserializeOwned;
use smallvec::smallvec;

use super::{Cache, typed, unlimited};
use crate::cache::chain::{Got, Single};
use crate::cache::entry::Payload;
use crate::cache::gate::Gate;
use crate::cache::groups::MANUAL;
use crate::cache::layer::BoxFuture;
use crate::cache::manual;
use crate::cache::read::Loader;
use crate::cache::rules::Rules;
use crate::error::Result;
use crate::query::Cached;

#[derive(Debug, Default)]
pub(super) struct LoadOptions {
    tags: Vec<Box<str>>,
    jitter: Option<Duration>,
    empty_ttl: Option<Duration>,
    stale_if_error: Option<Duration>,
    timeout: Option<Duration>,
    lock: Option<bool>,
    refresh: bool,
}

/// A value by hand before it is read or loaded; await it.
#[must_use = "await it"]
pub struct GetOrLoad<'c, T, F> {
    pub(super) cache: &'c Cache,
    pub(super) key: &'c str,
    pub(super) ttl: Duration,
    pub(super) load: F,
    pub(super) options: LoadOptions,
    pub(super) types: PhantomData<fn() -> T>,
}

impl<T, F> fmt::Debug for GetOrLoad<'_, T, F> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("GetOrLoad").field("options", &self.options).finish_non_exhaustive()
    }
}

impl<T, F> GetOrLoad<'_, T, F> {
    /// Gives the value these tags: [`Cache::delete_by_tags`] then ends it.
    pub fn tags<S: AsRef<str>>(mut self, tags: impl IntoIterator<Item = S>) -> Self {
        self.options.tags = tags.into_iter().map(|tag| tag.as_ref().into()).collect();
        self
    }

    /// Draws the time to live from `ttl - jitter` to `ttl + jitter`; without it the engine's jitter applies.
    pub fn jitter(mut self, jitter: Duration) -> Self {
        self.options.jitter = Some(jitter);
        self
    }

    /// Serves a `null` or `[]` for this long; zero means that it is not stored.
    pub fn cache_empty(mut self, ttl: Duration) -> Self {
        self.options.empty_ttl = Some(ttl);
        self
    }

    /// Serves the value for this much longer when loading it anew fails.
    pub fn stale_if_error(mut self, window: Duration) -> Self {
        self.options.stale_if_error = Some(window);
        self
    }

    /// Waits at most this long.
    pub fn timeout(mut self, timeout: Duration) -> Self {
        self.options.timeout = Some(timeout);
        self
    }

    /// Whether one process at a time loads the value, among all that share a layer.
    pub fn lock(mut self, lock: bool) -> Self {
        self.options.lock = Some(lock);
        self
    }

    /// Makes what is cached under the key invalid, and loads.
    pub fn refresh(mut self) -> Self {
        self.options.refresh = true;
        self
    }
}

/// Loads one value by a closure.
struct Closure<'f, F> {
    gate: Gate,
    tags: Arc<[Box<str>]>,
    load: &'f mut F,
}

impl<T, F, Fut> Loader for Closure<'_, F>
where
    T: Serialize,
    F: FnMut() -> Fut + Send,
    Fut: Future<Output = Result<T>> + Send,
{
    fn load<'s>(&'s mut self, _wanted: &'s [usize]) -> BoxFuture<'s, Result<Single<Payload>>> {
        let (gate, tags) = (self.gate.clone(), Arc::clone(&self.tags));
        let load = &mut *self.load;
        Box::pin(async move {
            let value = gate.run(load()).await;
            value.and_then(|value| manual::encode(&value)).map(|json| smallvec![manual::payload(json, tags)])
        })
    }

    fn detached(&self, _wanted: &[usize]) -> Option<Box<dyn Loader>> {
        None
    }
}

impl<'c, T, F, Fut> IntoFuture for GetOrLoad<'c, T, F>
where
    T: Serialize + DeserializeOwned + Send + Sync + 'static,
    F: FnMut() -> Fut + Send + 'c,
    Fut: Future<Output = Result<T>> + Send,
{
    type Output = Result<Cached<T>>;
    type IntoFuture = BoxFuture<'c, Self::Output>;

    fn into_future(self) -> Self::IntoFuture {
        Box::pin(async move {
            let Self { cache, key, ttl, mut load, options, .. } = self;
            cache.check()?;
            let mut rules = cache.rules(ttl, options.jitter)?;
            if let Some(empty_ttl) = options.empty_ttl {
                rules = Rules { limits: rules.limits, ..Rules::new(ttl, rules.jitter, empty_ttl) };
            }
            let life = rules.limits.last(false).max(rules.limits.last(true));
            rules.limits = unlimited();
            rules.limits.max_age = cache.defaults.limits.max_age;
            let longer = options.stale_if_error.unwrap_or_default();
            rules.limits.stale_if_error =
                crate::clock::millis(longer).max(cache.defaults.limits.stale_if_error);
            rules.limits.life = Some(life.saturating_add(rules.limits.stale_if_error));
            rules.timeout = options.timeout.or(cache.defaults.timeout);
            rules.lease = match options.lock {
                Some(true) => Some(cache.lease),
                Some(false) => None,
                None => cache.defaults.lease,
            };
            rules.throttle = cache.defaults.throttle;
            rules.refresh = options.refresh;
            let item = Arc::new(cache.item(key, &options.tags, rules.limits)?);
            let mut loader = Closure { gate: cache.gate.clone(), tags: options.tags.into(), load: &mut load };
            loop {
                match cache.chain.get_one(&item, &rules, &mut loader).await? {
                    Got::Found(found) => match typed(&found) {
                        Ok(value) => return Ok(value),
                        // Another version of the program may have set it: a miss, and it is replaced.
                        Err(_) => {
                            cache.chain.groups.of(&MANUAL).undecodable.add(1);
                            rules.refresh = true;
                        }
                    },
                    Got::Loaded(payload) => {
                        return Ok(Cached::loaded(manual::decode::<T>(&payload.value)?));
                    }
                }
            }
        })
    }
}
