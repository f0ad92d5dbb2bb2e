//! A condition that is none.
use pie::prelude::*;

#[cached(ttl = "5m", if = id)] //~
async fn find(engine: &Engine, id: i64) -> i64 {
    id
}

fn main() {}
