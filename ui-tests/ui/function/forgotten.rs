//! A key that does not tell two calls apart.
#![allow(unused)]
use pie::prelude::*;

#[cached(key = "profile:{id}")] //~
async fn f0(engine: &Engine, id: i64, locale: &str) -> u64 {
    todo!()
}

#[cached(key = "profile")] //~ 2
async fn f1(engine: &Engine, id: i64, locale: &str) -> u64 {
    todo!()
}

fn main() {
    // The functions are there all the same.
    let _ = (f0, f1,);
}
