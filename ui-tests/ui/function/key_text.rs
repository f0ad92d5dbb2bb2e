//! A key that is no text.
#![allow(unused)]
use pie::prelude::*;

#[cached(key = profile)] //~
async fn f0(engine: &Engine) -> u64 {
    todo!()
}

#[cached(key = "")] //~
async fn f1(engine: &Engine) -> u64 {
    todo!()
}

#[cached(key)] //~
async fn f2(engine: &Engine) -> u64 {
    todo!()
}

fn main() {
    // The functions are there all the same.
    let _ = (f0, f1, f2,);
}
