//! References, which nothing in another process points to.
use pie::prelude::*;

#[cached(ttl = "5m")]
async fn name(engine: &Engine) -> &'static str { //~
    let _ = engine;
    "Ann"
}

#[cached(ttl = "5m")]
async fn names(engine: &Engine) -> Result<Vec<&'static str>, pie::Error> { //~
    let _ = engine;
    Ok(vec!["Ann"])
}

fn main() {
    let _ = (name, names);
}
