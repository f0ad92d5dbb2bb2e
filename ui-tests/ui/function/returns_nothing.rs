//! Functions with nothing to cache.
#![allow(unused)]
use pie::prelude::*;

#[cached(ttl = "5m")]
async fn f0(engine: &Engine) { //~
    todo!()
}

#[cached(ttl = "5m")]
async fn f1(engine: &Engine) -> () { //~
    todo!()
}

fn main() {
    // The functions are there all the same.
    let _ = (f0, f1,);
}
