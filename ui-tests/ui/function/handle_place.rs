//! A handle that is not there.
use pie::prelude::*;

struct Users;

impl Users {
    #[cached(ttl = "5m", via = self.engine)] //~
    async fn count(&self) -> u64 {
        1
    }
}

#[cached(ttl = "5m", via = engine)] //~
async fn count() -> u64 {
    1
}

fn main() {}
