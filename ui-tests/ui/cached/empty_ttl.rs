//! How long "no such row" is kept.
use pie::prelude::*;

#[derive(Model)]
#[cached(empty_ttl = 5)] //~
struct M0 {
    #[pie(id)]
    id: i64,
}

#[derive(Model)]
#[cached(empty_ttl = "5 s")] //~
struct M1 {
    #[pie(id)]
    id: i64,
}

#[derive(Model)]
#[cached(empty_ttl = none)] //~
struct M2 {
    #[pie(id)]
    id: i64,
}

fn main() {}
