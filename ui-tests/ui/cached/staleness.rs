//! What is served past its time.
use pie::prelude::*;

#[derive(Model)]
#[cached(stale = 30)] //~
struct M0 {
    #[pie(id)]
    id: i64,
}

#[derive(Model)]
#[cached(stale_if_error = "1y")] //~
struct M1 {
    #[pie(id)]
    id: i64,
}

#[derive(Model)]
#[cached(stale, stale_if_error)] //~ 2
struct M2 {
    #[pie(id)]
    id: i64,
}

fn main() {}
