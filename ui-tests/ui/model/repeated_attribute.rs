//! Attributes that stand twice, of every macro.
use pie::prelude::*;

#[derive(Model)]
#[pie(table = "users")]
#[pie(table = "people")] //~
struct User {
    #[pie(id, id)] //~
    id: i64,
    #[pie(unique, column = "mail", column = "email")] //~
    email: String,
}

#[derive(Model)]
#[cached(ttl = "5m", ttl = "6m", tags("a"), tags("b"))] //~ 2
struct Order {
    #[pie(id)]
    id: i64,
}

#[cached(ttl = "5m")]
#[derive(Model)]
#[cached(ttl = "6m")] //~
struct Twice {
    #[pie(id)]
    id: i64,
}

#[cached(ttl = "5m", ttl = "6m", via = global, via = engine, depends(A), depends(B))] //~ 3
async fn find(engine: &Engine) -> u64 {
    let _ = engine;
    1
}

#[invalidates(tags("users"), tags("others"))] //~
async fn rename(engine: &Engine) {
    let _ = engine;
}

#[invalidates(keys("users", "users"))] //~
async fn remove(engine: &Engine) {
    let _ = engine;
}

fn main() {
    let _ = (find, rename, remove);
}
