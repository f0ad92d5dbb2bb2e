//! Runs that outlive their callers, with every kind of argument.
use pie::prelude::*;
use std::path::Path;

#[derive(Clone)]
pub struct Users {
    engine: Engine,
}

#[derive(Clone, pie::CacheKey)]
pub struct Search {
    text: String,
}

impl Users {
    #[cached(ttl = "5m", stale = "1m", refresh_ahead = 0.8, soft_timeout = "50ms", skip(path), via = self.engine)]
    pub async fn find(&self, name: &str, list: &[u8], search: &Search, owned: String, id: i64, path: &Path) -> Option<u64> {
        let _ = (name, list, search, owned, path);
        Some(id as u64)
    }
}

#[cached(ttl = "5m", stale = "1m")]
pub async fn count(engine: &Engine) -> Result<u64, String> {
    let _ = engine;
    Ok(1)
}

fn main() {}
