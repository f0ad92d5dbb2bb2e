//! A placeholder with a field that there is not.
use pie::prelude::*;

struct User {
    name: String,
}

#[cached(ttl = "5m", key = "profile:{user.nam}")] //~
async fn find(engine: &Engine, user: &User) -> u64 {
    1
}

fn main() {}
