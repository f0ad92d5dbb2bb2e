//! Arguments that are left out.
#![allow(unused)]
use pie::prelude::*;

#[cached(skip(trace_di))] //~
async fn f0(engine: &Engine, trace_id: u64) -> u64 {
    todo!()
}

#[cached(skip())] //~
async fn f1(engine: &Engine) -> u64 {
    todo!()
}

#[cached(skip = "trace_id")] //~
async fn f2(engine: &Engine, trace_id: u64) -> u64 {
    todo!()
}

fn main() {
    // The functions are there all the same.
    let _ = (f0, f1, f2,);
}
