//! Keys that only functions have.
use pie::prelude::*;

#[derive(Model)]
#[cached(key = "user:{id}")] //~
struct M0 {
    #[pie(id)]
    id: i64,
}

#[derive(Model)]
#[cached(via = self.engine)] //~
struct M1 {
    #[pie(id)]
    id: i64,
}

#[derive(Model)]
#[cached(depends(User))] //~
struct M2 {
    #[pie(id)]
    id: i64,
}

#[derive(Model)]
#[cached(version = 2)] //~
struct M3 {
    #[pie(id)]
    id: i64,
}

#[derive(Model)]
#[cached(crate = my::pie)] //~
struct M4 {
    #[pie(id)]
    id: i64,
}

fn main() {}
