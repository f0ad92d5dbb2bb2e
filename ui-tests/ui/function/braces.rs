//! Braces without their other half.
#![allow(unused)]
use pie::prelude::*;

#[cached(key = "profile:{id")] //~
async fn f0(engine: &Engine, id: i64) -> u64 {
    todo!()
}

#[cached(key = "profile:id}")] //~
async fn f1(engine: &Engine, id: i64) -> u64 {
    todo!()
}

fn main() {
    // The functions are there all the same.
    let _ = (f0, f1,);
}
