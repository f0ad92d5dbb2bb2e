//! A method without a body.
use pie::prelude::*;

trait Users {
    #[cached(ttl = "5m", via = global)]
    async fn find(&self, id: i64) -> u64; //~
}

fn main() {}
