//! Durations of functions.
#![allow(unused)]
use pie::prelude::*;

#[cached(ttl = 300)] //~
async fn f0(engine: &Engine) -> u64 {
    todo!()
}

#[cached(ttl = "5x")] //~
async fn f1(engine: &Engine) -> u64 {
    todo!()
}

#[cached(ttl = "1m", jitter = "1m")] //~
async fn f2(engine: &Engine) -> u64 {
    todo!()
}

#[cached(empty_ttl = 5, max_age = "0s")] //~ 2
async fn f3(engine: &Engine) -> u64 {
    todo!()
}

fn main() {
    // The functions are there all the same.
    let _ = (f0, f1, f2, f3,);
}
