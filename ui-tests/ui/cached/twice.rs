use pie::prelude::*;

#[cached(ttl = "5m")]
#[derive(Model)]
#[cached(ttl = "6m")]
struct User {
    #[pie(id)]
    id: i64,
}

fn main() {}
