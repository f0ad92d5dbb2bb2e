//! Runs that outlive their callers need the companion that runs by itself.
#![allow(unused)]
use pie::prelude::*;

#[cached(ttl = "5m", stale = "1m")] //~
async fn f0(engine: &Engine) -> u64 {
    todo!()
}

#[cached(ttl = "5m", refresh_ahead = 0.8)] //~
async fn f1(engine: &Engine) -> u64 {
    todo!()
}

fn main() {
    // The functions are there all the same.
    let _ = (f0, f1,);
}
