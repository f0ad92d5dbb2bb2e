//! A run that outlives its caller, with arguments that it cannot have copies of.
#![allow(unused)]
use pie::prelude::*;

struct Users {
    engine: Engine,
}

#[derive(pie::CacheKey)]
struct Search(String);

impl Users {
    #[cached(ttl = "5m", stale = "1m", via = self.engine)]
    pub async fn count(&self) -> u64 { //~
        1
    }
}

#[cached(ttl = "5m", refresh_ahead = 0.8)]
pub async fn find(engine: &Engine, search: Search) -> u64 { //~
    1
}

fn main() {}
