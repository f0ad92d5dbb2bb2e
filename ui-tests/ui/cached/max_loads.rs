//! How many loads may run at once.
use pie::prelude::*;

#[derive(Model)]
#[cached(max_loads = 0)] //~
struct User {
    #[pie(id)]
    id: i64,
}

#[derive(Model)]
#[cached(max_loads = "16")] //~
struct Order {
    #[pie(id)]
    id: i64,
}

#[cached(max_loads)] //~
async fn list(engine: &Engine) -> u64 {
    let _ = engine;
    1
}

fn main() {
    let _ = list;
}
