use pie::prelude::*;

#[derive(Model)]
#[cached(ttl = 300, jitter = "5", empty_ttl = "5x")]
struct User {
    #[pie(id)]
    id: i64,
}

#[derive(Model)]
#[cached(ttl = "0s")]
struct Zero {
    #[pie(id)]
    id: i64,
}

#[derive(Model)]
#[cached(ttl = "1m", jitter = "2m")]
struct Jitter {
    #[pie(id)]
    id: i64,
}

const FIVE: &str = "5m";

#[cached(ttl = FIVE)]
#[derive(Model)]
struct Constant {
    #[pie(id)]
    id: i64,
}

fn main() {}
