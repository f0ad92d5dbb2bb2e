//! A ttl that is no duration.
use pie::prelude::*;

#[derive(Model)]
#[cached(ttl = 300)] //~
struct M0 {
    #[pie(id)]
    id: i64,
}

#[derive(Model)]
#[cached(ttl = "5")] //~
struct M1 {
    #[pie(id)]
    id: i64,
}

#[derive(Model)]
#[cached(ttl = "5x")] //~
struct M2 {
    #[pie(id)]
    id: i64,
}

#[derive(Model)]
#[cached(ttl = "m")] //~
struct M3 {
    #[pie(id)]
    id: i64,
}

#[derive(Model)]
#[cached(ttl = "")] //~
struct M4 {
    #[pie(id)]
    id: i64,
}

#[derive(Model)]
#[cached(ttl = "0s")] //~
struct M5 {
    #[pie(id)]
    id: i64,
}

#[derive(Model)]
#[cached(ttl = "99999d")] //~
struct M6 {
    #[pie(id)]
    id: i64,
}

#[derive(Model)]
#[cached(ttl)] //~
struct M7 {
    #[pie(id)]
    id: i64,
}

#[derive(Model)]
#[cached(ttl("5m"))] //~
struct M8 {
    #[pie(id)]
    id: i64,
}

fn main() {}
