//! Versions that are no numbers.
#![allow(unused)]
use pie::prelude::*;

#[cached(version = "two")] //~
async fn f0(engine: &Engine) -> u64 {
    todo!()
}

#[cached(version = -1)] //~
async fn f1(engine: &Engine) -> u64 {
    todo!()
}

#[cached(version)] //~
async fn f2(engine: &Engine) -> u64 {
    todo!()
}

fn main() {
    // The functions are there all the same.
    let _ = (f0, f1, f2,);
}
