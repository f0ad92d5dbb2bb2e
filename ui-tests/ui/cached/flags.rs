//! On or off, of models and of functions.
use pie::prelude::*;

#[derive(Model)]
#[cached(enabled = "yes", lock = 1)] //~ 2
struct User {
    #[pie(id)]
    id: i64,
}

#[derive(Model)]
#[cached(enabled, lock)] //~ 2
struct Order {
    #[pie(id)]
    id: i64,
}

#[cached(companions = 1, lock = "yes")] //~ 2
async fn find(engine: &Engine) -> u64 {
    let _ = engine;
    1
}

#[cached(companions)] //~
async fn list(engine: &Engine) -> u64 {
    let _ = engine;
    1
}

fn main() {
    let _ = (find, list);
}
