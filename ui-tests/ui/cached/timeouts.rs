//! Times that let nothing through.
use pie::prelude::*;

#[derive(Model)]
#[cached(soft_timeout = "0s")] //~
struct M0 {
    #[pie(id)]
    id: i64,
}

#[derive(Model)]
#[cached(timeout = "0ms")] //~
struct M1 {
    #[pie(id)]
    id: i64,
}

#[derive(Model)]
#[cached(max_age = "0m")] //~
struct M2 {
    #[pie(id)]
    id: i64,
}

#[derive(Model)]
#[cached(timeout = 2.5)] //~
struct M3 {
    #[pie(id)]
    id: i64,
}

fn main() {}
