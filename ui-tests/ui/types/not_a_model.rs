//! Structs that are used as models and are none.
#![allow(unused)]
use pie::prelude::*;

struct User;

#[cached(ttl = "5m")]
struct Order { //~
    id: i64,
}

#[cached(ttl = "5m", depends(User))] //~
async fn find(engine: &Engine) -> u64 {
    1
}

#[invalidates(models(User))] //~
async fn rename(engine: &Engine) {}

async fn run(engine: &Engine) {
    let _ = engine.create_tables::<(User,)>().await; //~
    let _ = engine.cache().stats_of::<User>(); //~
}

fn main() {}
