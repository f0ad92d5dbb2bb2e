//! A program under the strictest lints: what the macros write gives it no warning. Compiled with the crate, linted by `scripts/test`.
#![deny(
    missing_docs,
    missing_debug_implementations,
    unused,
    unreachable_pub,
    clippy::all,
    clippy::pedantic,
    clippy::nursery
)]
#![deny(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::arithmetic_side_effects
)]

use std::sync::Arc;

use pie::prelude::*;
use pie::{CacheKey, Value};

/// What a user is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Value)]
#[pie(rename_all = "snake_case")]
pub enum Status {
    /// Here.
    Active,
    /// Elsewhere.
    Away,
}

/// The number of a user.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Value)]
pub struct UserId(i64);

/// A user.
#[derive(Debug, Clone, Model)]
#[cached(ttl = "5m", jitter = "30s", tags("users"))]
#[pie(unique(org, nick), index(org, status))]
pub struct User {
    /// Its number.
    #[pie(id, auto)]
    pub id: UserId,
    /// Its address.
    #[pie(unique)]
    pub email: String,
    /// Where it is.
    #[pie(index)]
    pub status: Status,
    /// Where it belongs.
    pub org: i64,
    /// What it is called.
    pub nick: Option<String>,
    /// What it likes.
    #[pie(json)]
    pub tags: Vec<String>,
    /// What it looks like.
    #[pie(skip)]
    pub picture: Option<Vec<u8>>,
}

/// What to look for.
#[derive(Debug, Clone, CacheKey)]
pub struct Search {
    text: String,
    page: u32,
}

/// How to sort.
#[derive(Debug, Clone, Copy, CacheKey)]
pub enum Sort {
    /// By name.
    Name,
    /// By age.
    Age {
        /// The oldest first.
        descending: bool,
    },
}

/// Users, wherever they are.
#[derive(Debug, Clone)]
pub struct Users {
    engine: Engine,
}

impl Users {
    /// Some of them.
    #[must_use]
    pub const fn new(engine: Engine) -> Self {
        Self { engine }
    }

    /// The names that fit.
    ///
    /// # Errors
    /// The database's.
    #[cached(
        ttl = "1m",
        jitter = "10s",
        empty_ttl = "5s",
        tags("search", "page:{search.page}"),
        depends(User),
        timeout = "2s",
        max_loads = 4,
        if = !search.text.is_empty(),
        via = self.engine
    )]
    pub async fn search(&self, search: &Search, sort: Sort, limit: Option<u8>) -> pie::Result<Vec<String>> {
        let _ = (sort, limit);
        let users = User::query(&self.engine).filter(User::EMAIL.contains(&search.text)).await?;
        Ok(users.iter().map(|user| user.email.clone()).collect())
    }

    /// One that may be old.
    ///
    /// # Errors
    /// The database's.
    #[cached(ttl = "1m", key = "nick:{id}", skip(trace), stale = "1m", refresh_ahead = 0.8, via = self.engine)]
    pub async fn nick(&self, id: i64, trace: &str) -> Result<Option<Arc<String>>, pie::Error> {
        let _ = trace;
        let user = User::find_by_id(&self.engine, UserId(id)).await?;
        Ok(user.and_then(|user| user.nick.clone()).map(Arc::new))
    }

    /// Another name.
    ///
    /// # Errors
    /// The database's.
    #[invalidates(keys("nick:{id}"), tags("search"), patterns("search:*"), models(User), via = self.engine)]
    pub async fn rename(&self, id: i64, nick: &str) -> pie::Result<()> {
        User::update_by_id(&self.engine, UserId(id)).nick(nick).await?;
        Ok(())
    }
}

/// How many there are.
///
/// # Errors
/// The database's.
#[cached(ttl = "1m", name = "all_users", version = 2)]
pub async fn count(engine: &Engine) -> pie::Result<u64> {
    User::query(engine).count().await
}

/// The same, in private.
#[cached(ttl = "1m", via = global)]
async fn quietly(id: i64) -> i64 {
    std::future::ready(id).await
}

/// Uses what nobody else does.
pub async fn quiet() -> i64 {
    quietly(1).await
}
