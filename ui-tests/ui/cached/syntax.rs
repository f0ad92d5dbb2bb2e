//! Lists that are none.
use pie::prelude::*;

#[derive(Model)]
#[cached(ttl "5m")] //~
struct M0 {
    #[pie(id)]
    id: i64,
}

#[derive(Model)]
#[cached(ttl = "5m" jitter = "1m")] //~
struct M1 {
    #[pie(id)]
    id: i64,
}

fn main() {}
