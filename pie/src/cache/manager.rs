//! What `engine.cache()` gives: the hand on the cache, for what the types cannot know.

use std::sync::Arc;

use super::chain::Chain;
use super::stamps::StampName;
use super::stats::{CacheStats, LayerStats};
use crate::error::{Error, ErrorKind, Result};

/// The cache of an engine, for statistics and for invalidation by hand.
///
/// Everything here acts within the scope of the handle it came from. Writes through pie need none of it: they invalidate
/// what they touch by themselves.
///
/// # Examples
///
/// ```
/// # use pie::prelude::*;
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> pie::Result<()> {
/// let engine = Engine::builder().database("sqlite::memory:").build().await?;
/// let cache = engine.cache();
/// cache.delete("user:7").await?;
/// cache.delete_by_tags(["users"]).await?;
/// println!("{}", cache.stats());
/// for layer in cache.layers() {
///     println!("{}", layer.stats());
/// }
/// # Ok(())
/// # }
/// ```
#[derive(Debug, Clone)]
pub struct Cache {
    chain: Arc<Chain>,
    scope: Arc<str>,
    /// Whether this is the cache of a scope within the engine.
    scoped: bool,
    enabled: bool,
}

impl Cache {
    pub(crate) fn new(chain: Arc<Chain>, scope: Arc<str>, scoped: bool, enabled: bool) -> Self {
        Self { chain, scope, scoped, enabled }
    }

    fn check(&self) -> Result<()> {
        if self.enabled {
            return Ok(());
        }
        Err(Error::new(
            ErrorKind::Disabled,
            "the cache is switched off: set `enabled: true` in `CacheConfig`",
        ))
    }

    async fn invalidate(&self, names: Vec<StampName>) {
        self.chain.invalidate(names).await;
    }

    /// Makes the value of a logical key invalid in every layer: `user:7`, or what a `key_by_…` function returns.
    ///
    /// After it returned, no read through this engine is answered with what was cached under the key before, also not by a
    /// load that was running meanwhile. Deleting a key that is not cached is no error.
    ///
    /// # Errors
    /// [`ErrorKind::Disabled`] when the cache is switched off; [`ErrorKind::InvalidQuery`] for an empty key.
    pub async fn delete(&self, key: &str) -> Result<()> {
        self.check()?;
        if key.is_empty() {
            return Err(Error::new(ErrorKind::InvalidQuery, "an empty key: write a key such as `user:7`"));
        }
        self.invalidate(vec![StampName::new(&self.scope, &format!("k:{key}"))]).await;
        Ok(())
    }

    /// Makes every value invalid that has one of the tags. Costs the same for one value and for a million.
    ///
    /// # Errors
    /// [`ErrorKind::Disabled`] when the cache is switched off; [`ErrorKind::InvalidQuery`] for an empty tag.
    pub async fn delete_by_tags<T: AsRef<str>>(&self, tags: impl IntoIterator<Item = T>) -> Result<()> {
        self.check()?;
        let mut names = Vec::new();
        for tag in tags {
            let tag = tag.as_ref();
            if tag.is_empty() {
                return Err(Error::new(ErrorKind::InvalidQuery, "an empty tag: write a tag such as `users`"));
            }
            names.push(StampName::new(&self.scope, &format!("t:{tag}")));
        }
        self.invalidate(names).await;
        Ok(())
    }

    /// Makes every value of this scope, and of scopes within it, invalid in every layer and for every process. Without a
    /// scope, also frees the memory of this one.
    ///
    /// # Errors
    /// [`ErrorKind::Disabled`] when the cache is switched off.
    pub async fn clear(&self) -> Result<()> {
        self.check()?;
        self.invalidate(vec![StampName::new(&self.scope, "n")]).await;
        if !self.scoped {
            self.chain.free().await;
        }
        Ok(())
    }

    /// Waits until every value on its way to a shared layer has arrived there, or failed to.
    pub async fn flush(&self) {
        self.chain.flush().await;
    }

    /// What the cache did since the engine was built; one look-up counts once.
    #[must_use]
    pub fn stats(&self) -> CacheStats {
        self.chain.stats()
    }

    /// The layers, in the order they are asked.
    #[must_use]
    pub fn layers(&self) -> Vec<LayerHandle> {
        (0..self.chain.layer_count()).map(|at| LayerHandle { chain: Arc::clone(&self.chain), at }).collect()
    }
}

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
