//! Lists that are none.
#![allow(unused)]
use pie::prelude::*;

#[cached(ttl "5m")] //~
async fn f0(engine: &Engine) -> u64 {
    todo!()
}

#[cached(ttl = "5m" jitter = "1m")] //~
async fn f1(engine: &Engine) -> u64 {
    todo!()
}

#[cached(5)] //~
async fn f2(engine: &Engine) -> u64 {
    todo!()
}

fn main() {
    // The functions are there all the same.
    let _ = (f0, f1, f2,);
}
