//! A jitter that leaves some values no time.
use pie::prelude::*;

#[derive(Model)]
#[cached(ttl = "1m", jitter = "2m")] //~
struct M0 {
    #[pie(id)]
    id: i64,
}

#[derive(Model)]
#[cached(ttl = "1m", jitter = "1m")] //~
struct M1 {
    #[pie(id)]
    id: i64,
}

#[derive(Model)]
#[cached(ttl = "1m", jitter = 30)] //~
struct M2 {
    #[pie(id)]
    id: i64,
}

fn main() {}
