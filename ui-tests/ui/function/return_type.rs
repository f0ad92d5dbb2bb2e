//! A value that cannot be stored.
use pie::prelude::*;

#[derive(Clone)]
struct Profile;

#[cached(ttl = "5m")]
async fn find(engine: &Engine) -> Option<Profile> {
    None
}

fn main() {}
