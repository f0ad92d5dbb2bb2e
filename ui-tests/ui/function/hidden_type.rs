//! A type without a name.
use pie::prelude::*;

#[cached(ttl = "5m")]
async fn find(engine: &Engine) -> impl Send + use<'_> { //~
    engine.clone()
}

fn main() {
    let _ = |engine: Engine| drop(find(&engine));
}
