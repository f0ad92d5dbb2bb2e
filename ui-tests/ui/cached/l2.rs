//! How long a read waits for Redis, and what it does without it.
use pie::prelude::*;

#[derive(Model)]
#[cached(ttl = "5m", l2_budget = "0s")] //~
struct User {
    #[pie(id)]
    id: i64,
}

#[derive(Model)]
#[cached(ttl = "5m", l2_budget = 20)] //~
struct Order {
    #[pie(id)]
    id: i64,
}

#[derive(Model)]
#[cached(ttl = "5m", on_l2_down = "old")] //~
struct Item {
    #[pie(id)]
    id: i64,
}

#[derive(Model)]
#[cached(ttl = "5m", on_l2_down = true)] //~
struct Stock {
    #[pie(id)]
    id: i64,
}

#[cached(ttl = "5m", on_l2_down)] //~
async fn list(engine: &Engine) -> u64 {
    let _ = engine;
    1
}

fn main() {
    let _ = list;
}
