use pie::prelude::*;

#[derive(Model)]
#[cached(stale = 30, stale_if_error = "1y", refresh_ahead = 80, soft_timeout = "0s", max_age = "0s")]
struct Times {
    #[pie(id)]
    id: i64,
}

#[derive(Model)]
#[cached(refresh_ahead = 1.5, lock = "yes", max_loads = 0, timeout)]
struct Values {
    #[pie(id)]
    id: i64,
}

#[derive(Model)]
#[cached(stale_if_eror = "5m", max_load = 5)]
struct Names {
    #[pie(id)]
    id: i64,
}

fn main() {}
