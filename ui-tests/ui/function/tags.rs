//! Tags of functions.
#![allow(unused)]
use pie::prelude::*;

#[cached(tags("profile:{user}"))] //~
async fn f0(engine: &Engine, id: i64) -> u64 {
    todo!()
}

#[cached(tags("a", "a"))] //~
async fn f1(engine: &Engine) -> u64 {
    todo!()
}

#[cached(tags())] //~
async fn f2(engine: &Engine) -> u64 {
    todo!()
}

#[cached(tags = "a")] //~
async fn f3(engine: &Engine) -> u64 {
    todo!()
}

#[cached(tags(""))] //~
async fn f4(engine: &Engine) -> u64 {
    todo!()
}

fn main() {
    // The functions are there all the same.
    let _ = (f0, f1, f2, f3, f4,);
}
