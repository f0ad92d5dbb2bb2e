//! A ttl that is known later than the cache needs it.
use pie::prelude::*;

const FIVE: &str = "5m";

#[cached(ttl = FIVE)] //~
#[derive(Model)]
struct Constant {
    #[pie(id)]
    id: i64,
}

fn main() {}
