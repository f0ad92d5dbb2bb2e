//! A part of the ttl that is none.
use pie::prelude::*;

#[derive(Model)]
#[cached(refresh_ahead = 80)] //~
struct M0 {
    #[pie(id)]
    id: i64,
}

#[derive(Model)]
#[cached(refresh_ahead = 1.5)] //~
struct M1 {
    #[pie(id)]
    id: i64,
}

#[derive(Model)]
#[cached(refresh_ahead = "1m")] //~
struct M2 {
    #[pie(id)]
    id: i64,
}

#[derive(Model)]
#[cached(refresh_ahead = 0.0)] //~
struct M3 {
    #[pie(id)]
    id: i64,
}

fn main() {}
