//! A value that cannot be copied out of the cache.
#![allow(unused)]
use pie::prelude::*;
use std::sync::Arc;

#[derive(serde::Serialize, serde::Deserialize)]
struct Profile;

#[cached(ttl = "5m")]
async fn by_itself(engine: &Engine) -> Option<Profile> { //~
    None
}

#[cached(ttl = "5m")]
async fn shared(engine: &Engine) -> Option<Arc<Profile>> {
    None
}

fn main() {}
