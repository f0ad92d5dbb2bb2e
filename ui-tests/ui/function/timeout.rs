//! A timeout whose error has no place in the return type.
use pie::prelude::*;

struct Error;

#[cached(ttl = "5m", timeout = "1s")]
async fn find(engine: &Engine) -> Result<u64, Error> {
    Ok(1)
}

fn main() {}
