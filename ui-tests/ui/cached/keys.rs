use pie::prelude::*;

#[derive(Model)]
#[cached(tll = "5m", ttl = "5m", ttl = "6m", size = 5)]
struct User {
    #[pie(id)]
    id: i64,
}

#[derive(Model)]
#[cached(tags = "users", enabled = "yes")]
struct Values {
    #[pie(id)]
    id: i64,
}

#[derive(Model)]
#[cached(tags("users", "", "users", "user:*", 5))]
struct Tags {
    #[pie(id)]
    id: i64,
}

#[derive(Model)]
#[cached(tags())]
struct NoTags {
    #[pie(id)]
    id: i64,
}

fn main() {}
