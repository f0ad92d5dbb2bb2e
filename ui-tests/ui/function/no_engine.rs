//! Functions that do not say where the cache is.
#![allow(unused)]
use pie::prelude::*;

#[cached(ttl = "5m")]
async fn find(id: i64) -> i64 { //~
    id
}

#[invalidates(tags("users"))]
async fn rename(id: i64) {} //~

#[cached(via)] //~
async fn list(engine: &Engine) -> u64 {
    1
}

fn main() {}
