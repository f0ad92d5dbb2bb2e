//! A fence by hand: for values that a program computes itself.

use std::fmt;
use std::future::IntoFuture;
use std::sync::Arc;
use std::time::Duration;

use serde::Serialize;
use smallvec::smallvec;

use super::chain::{Item, Ticket};
use super::layer::BoxFuture;
use super::manager::Cache;
use super::manual;
use crate::error::Result;

/// The versions of everything a value will depend on, as they were before the program began to compute it; made by
/// [`Cache::fence`].
///
/// What is set through it is never served after an invalidation of its key, family, tags or scope that came in between.
/// Dropping it does nothing.
#[must_use = "set the computed value through it"]
pub struct Fence {
    cache: Cache,
    item: Arc<Item>,
    tags: Arc<[Box<str>]>,
    ticket: Ticket,
}

impl fmt::Debug for Fence {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Fence").field("key", &self.item.key).finish_non_exhaustive()
    }
}

impl Fence {
    /// Whether nothing was invalidated since, as far as this process knows.
    #[must_use]
    pub fn holds(&self) -> bool {
        self.cache.chain.stamps.holds(self.ticket.snapshot.as_ref())
    }

    /// Stores the value, for this time to live and with the engine's jitter, unless something it depends on was
    /// invalidated since the fence was made; gives whether that is so, as far as this process knows. Another process's
    /// invalidation that is not known here yet ends the value all the same.
    ///
    /// Returns when shared layers have the value, or failed to take it.
    ///
    /// # Errors
    /// [`ErrorKind::InvalidValue`](crate::ErrorKind::InvalidValue) when the value has no form in JSON.
    pub async fn set<T: Serialize + ?Sized + Sync>(self, value: &T, ttl: Duration) -> Result<bool> {
        let payload = manual::payload(manual::encode(value)?, self.tags);
        if !self.cache.chain.stamps.holds(self.ticket.snapshot.as_ref()) {
            return Ok(false);
        }
        let rules = self.cache.rules(ttl, None)?;
        if let Some(ttl) = rules.draw(payload.empty) {
            self.cache.chain.store_everywhere(smallvec![(self.item, payload, ttl, self.ticket)]).await;
        }
        Ok(true)
    }
}

/// A fence before it is made; await it.
#[must_use = "await it before the value is computed"]
#[derive(Debug)]
pub struct FenceBuilder<'c> {
    pub(super) cache: &'c Cache,
    pub(super) key: &'c str,
    pub(super) tags: Vec<Box<str>>,
}

impl FenceBuilder<'_> {
    /// Gives the value these tags.
    pub fn tags<T: AsRef<str>>(mut self, tags: impl IntoIterator<Item = T>) -> Self {
        self.tags = tags.into_iter().map(|tag| tag.as_ref().into()).collect();
        self
    }
}

impl<'c> IntoFuture for FenceBuilder<'c> {
    type Output = Result<Fence>;
    type IntoFuture = BoxFuture<'c, Self::Output>;

    fn into_future(self) -> Self::IntoFuture {
        Box::pin(async move {
            self.cache.check()?;
            let item = self.cache.item(self.key, &self.tags, self.cache.defaults.limits)?;
            let (item, ticket) = self.cache.chain.ticket_with_tokens(item).await;
            Ok(Fence { cache: self.cache.clone(), item, tags: self.tags.into(), ticket })
        })
    }
}
