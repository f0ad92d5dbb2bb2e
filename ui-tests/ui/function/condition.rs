//! When to use the cache.
#![allow(unused)]
use pie::prelude::*;

#[cached(if)] //~
async fn f0(engine: &Engine) -> u64 {
    todo!()
}

#[cached(if(true))] //~
async fn f1(engine: &Engine) -> u64 {
    todo!()
}

fn main() {
    // The functions are there all the same.
    let _ = (f0, f1,);
}
