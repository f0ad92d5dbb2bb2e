//! An argument that cannot be part of a key.
use pie::prelude::*;

struct Filter;

#[cached(ttl = "5m")]
async fn find(engine: &Engine, filter: &Filter) -> u64 {
    1
}

fn main() {}
