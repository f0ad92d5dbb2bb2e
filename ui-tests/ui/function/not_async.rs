//! Functions that do not wait for anything.
use pie::prelude::*;

#[cached(ttl = "5m")]
fn find(engine: &Engine) -> u64 { //~
    let _ = engine;
    1
}

#[cached(ttl = "5m")]
fn later(engine: &Engine) -> impl Future<Output = u64> { //~
    let _ = engine;
    async { 1 }
}

fn main() {
    let _ = (find, |engine: Engine| drop(later(&engine)));
}
