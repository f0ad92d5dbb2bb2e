//! Values by hand on their way into the cache.

use std::future::IntoFuture;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;

use super::Cache;
use crate::cache::chain::{Chain, Item};
use crate::cache::entry::Payload;
use crate::cache::layer::BoxFuture;
use crate::cache::manual;
use crate::cache::rules::Rules;
use crate::error::Result;

/// Values by hand before they are stored; await it.
#[must_use = "await it"]
#[derive(Debug)]
pub struct Set<'c> {
    pub(super) cache: &'c Cache,
    pub(super) values: Vec<(String, Result<Bytes>)>,
    pub(super) ttl: Duration,
    pub(super) jitter: Option<Duration>,
    pub(super) tags: Vec<Box<str>>,
}

impl Set<'_> {
    /// Gives the values these tags: [`Cache::delete_by_tags`] then ends them.
    pub fn tags<T: AsRef<str>>(mut self, tags: impl IntoIterator<Item = T>) -> Self {
        self.tags = tags.into_iter().map(|tag| tag.as_ref().into()).collect();
        self
    }

    /// Draws the time to live from `ttl - jitter` to `ttl + jitter`; without it the engine's jitter applies.
    pub fn jitter(mut self, jitter: Duration) -> Self {
        self.jitter = Some(jitter);
        self
    }
}

impl<'c> IntoFuture for Set<'c> {
    type Output = Result<()>;
    type IntoFuture = BoxFuture<'c, Result<()>>;

    fn into_future(self) -> Self::IntoFuture {
        Box::pin(async move {
            let cache = self.cache;
            cache.check()?;
            let rules = cache.rules(self.ttl, self.jitter)?;
            let mut items = Vec::with_capacity(self.values.len());
            let mut payloads = Vec::with_capacity(self.values.len());
            let tags: Arc<[Box<str>]> = self.tags.into();
            for (key, json) in self.values {
                items.push(Arc::new(cache.item(&key, &tags, rules.limits)?));
                payloads.push(manual::payload(json?, Arc::clone(&tags)));
            }
            if items.is_empty() {
                return Ok(());
            }
            cache.chain.put(items, payloads, &rules).await;
            Ok(())
        })
    }
}

impl Chain {
    /// Stores values in place of what was there: ends that first, and stores under the versions of after that.
    pub(crate) async fn put(self: &Arc<Self>, items: Vec<Arc<Item>>, payloads: Vec<Payload>, rules: &Rules) {
        if !mistake!(SetWithoutBump) {
            self.invalidate(items.iter().map(|item| item.name().clone()).collect()).await;
        }
        let tickets = self.tickets(&items).await;
        let values = items
            .into_iter()
            .zip(payloads)
            .zip(tickets)
            .filter_map(|((item, payload), ticket)| {
                Some((item, rules.draw(payload.empty)?, payload, ticket?))
            })
            .map(|(item, ttl, payload, ticket)| (item, payload, ttl, ticket))
            .collect();
        self.store_everywhere(values).await;
    }
}
