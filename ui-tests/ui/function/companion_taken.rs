//! Names that companions have.
#![allow(unused)]
use pie::prelude::*;

#[cached(ttl = "5m")]
pub async fn profile(engine: &Engine, id: i64) -> i64 {
    id
}

pub fn profile_cache_key() {} //~

#[cached(ttl = "5m", companions = false)] //~
pub async fn profile_refresh(engine: &Engine, id: i64) -> i64 {
    id
}

struct Users {
    engine: Engine,
}

impl Users {
    #[cached(ttl = "5m", via = self.engine)]
    pub async fn name(&self, id: i64) -> i64 {
        id
    }

    fn name_uncached(&self) {} //~
}

fn main() {}
