//! A mistake in the body is told in the body.
use pie::prelude::*;

#[cached(ttl = "5m")]
pub async fn find(engine: &Engine, id: i64) -> Result<u64, pie::Error> {
    let text: String = id; //~
    Ok(text.len() as u64)
}

#[cached(ttl = "5m")]
async fn find_quietly(engine: &Engine, id: i64) -> Result<u64, pie::Error> {
    Ok("one") //~
}

#[invalidates(tags("users"))]
async fn rename(engine: &Engine) -> Result<(), pie::Error> {
    Err("no") //~
}

fn main() {}
