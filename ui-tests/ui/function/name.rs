//! Names of functions in keys.
#![allow(unused)]
use pie::prelude::*;

#[cached(name = "a:b")] //~
async fn f0(engine: &Engine) -> u64 {
    todo!()
}

#[cached(name = "")] //~
async fn f1(engine: &Engine) -> u64 {
    todo!()
}

#[cached(name = profile)] //~
async fn f2(engine: &Engine) -> u64 {
    todo!()
}

fn main() {
    // The functions are there all the same.
    let _ = (f0, f1, f2,);
}
