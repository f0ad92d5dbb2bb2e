//! Keys that there are not.
use pie::prelude::*;

#[derive(Model)]
#[cached(tll = "5m")] //~
struct M0 {
    #[pie(id)]
    id: i64,
}

#[derive(Model)]
#[cached(size = 5)] //~
struct M1 {
    #[pie(id)]
    id: i64,
}

#[derive(Model)]
#[cached(stale_if_eror = "5m", max_load = 5)] //~ 2
struct M2 {
    #[pie(id)]
    id: i64,
}

fn main() {}
