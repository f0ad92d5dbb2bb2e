//! A model that is none.
#![allow(unused)]
use pie::prelude::*;

struct User;

#[invalidates(models(User))]
async fn rename(engine: &Engine) {}

#[cached(ttl = "5m", depends(User))]
async fn find(engine: &Engine) -> u64 {
    1
}

fn main() {}
