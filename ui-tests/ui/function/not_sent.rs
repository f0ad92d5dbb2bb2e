//! A body that keeps what only its own thread can have.
#![allow(unused)]
use pie::prelude::*;
use std::rc::Rc;

#[cached(ttl = "5m")]
pub async fn find(engine: &Engine) -> u64 { //~
    let here = Rc::new(1);
    std::future::ready(()).await;
    *here
}

#[cached(ttl = "5m")]
async fn without_companions(engine: &Engine) -> u64 { //~
    let here = Rc::new(1);
    std::future::ready(()).await;
    *here
}

fn main() {}
