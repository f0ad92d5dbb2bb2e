//! Two values that could be taken for two others.
#![allow(unused)]
use pie::prelude::*;

#[cached(key = "profile:{a}{b}")] //~
async fn f0(engine: &Engine, a: &str, b: &str) -> u64 {
    todo!()
}

#[cached(key = "profile:{a}-{b}")] //~
async fn f1(engine: &Engine, a: &str, b: &str) -> u64 {
    todo!()
}

fn main() {
    // The functions are there all the same.
    let _ = (f0, f1,);
}
