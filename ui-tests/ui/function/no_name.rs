//! Arguments without a name.
#![allow(unused)]
use pie::prelude::*;

#[cached(ttl = "5m")]
async fn f0(engine: &Engine, (a, b): (i64, i64)) -> i64 { //~
    todo!()
}

#[cached(ttl = "5m")]
async fn f1(engine: &Engine, _: i64) -> i64 { //~
    todo!()
}

fn main() {
    // The functions are there all the same.
    let _ = (f0, f1,);
}
