//! Keys that there are not.
#![allow(unused)]
use pie::prelude::*;

#[cached(tll = "5m")] //~
async fn f0(engine: &Engine) -> u64 {
    todo!()
}

#[cached(expires = "5m")] //~
async fn f1(engine: &Engine) -> u64 {
    todo!()
}

#[cached(enabled = false)] //~
async fn f2(engine: &Engine) -> u64 {
    todo!()
}

fn main() {
    // The functions are there all the same.
    let _ = (f0, f1, f2,);
}
