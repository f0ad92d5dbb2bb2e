//! Models that a function reads.
#![allow(unused)]
use pie::prelude::*;

#[cached(depends)] //~
async fn f0(engine: &Engine) -> u64 {
    todo!()
}

#[cached(depends("User"))] //~
async fn f1(engine: &Engine) -> u64 {
    todo!()
}

#[cached(depends = User)] //~
async fn f2(engine: &Engine) -> u64 {
    todo!()
}

fn main() {
    // The functions are there all the same.
    let _ = (f0, f1, f2,);
}
