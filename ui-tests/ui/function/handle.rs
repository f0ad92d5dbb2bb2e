//! A handle that is none.
use pie::prelude::*;

struct Users {
    name: String,
}

impl Users {
    #[cached(ttl = "5m", via = self.name)]
    async fn count(&self) -> u64 {
        1
    }
}

fn main() {}
