//! Placeholders that name nothing.
#![allow(unused)]
use pie::prelude::*;

#[cached(key = "profile:{idd}")] //~
async fn f0(engine: &Engine, id: i64) -> u64 {
    todo!()
}

#[cached(key = "profile:{user}")] //~
async fn f1(engine: &Engine, id: i64) -> u64 {
    todo!()
}

#[cached(key = "profile:{}")] //~
async fn f2(engine: &Engine, id: i64) -> u64 {
    todo!()
}

#[cached(key = "profile:{id.}")] //~
async fn f3(engine: &Engine, id: i64) -> u64 {
    todo!()
}

#[cached(key = "profile:{self.id}")] //~
async fn f4(engine: &Engine, id: i64) -> u64 {
    todo!()
}

#[cached(key = "profile:{id}")] //~
async fn f5(engine: &Engine) -> u64 {
    todo!()
}

fn main() {
    // The functions are there all the same.
    let _ = (f0, f1, f2, f3, f4, f5,);
}
