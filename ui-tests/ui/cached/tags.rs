//! Tags that are none.
use pie::prelude::*;

#[derive(Model)]
#[cached(tags = "users")] //~
struct M0 {
    #[pie(id)]
    id: i64,
}

#[derive(Model)]
#[cached(tags())] //~
struct M1 {
    #[pie(id)]
    id: i64,
}

#[derive(Model)]
#[cached(tags(users))] //~
struct M2 {
    #[pie(id)]
    id: i64,
}

#[derive(Model)]
#[cached(tags("users", "", "users", "user:*", "user:{id}"))] //~ 4
struct M3 {
    #[pie(id)]
    id: i64,
}

fn main() {}
