//! A timeout whose error has no place in the return type.
#![allow(unused)]
use pie::prelude::*;

struct Error;

#[cached(ttl = "5m", timeout = "1s")]
async fn other_error(engine: &Engine) -> Result<u64, Error> { //~
    Ok(1)
}

#[cached(ttl = "5m", timeout = "1s")]
async fn no_error(engine: &Engine) -> u64 { //~
    1
}

fn main() {}
