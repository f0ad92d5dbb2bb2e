//! Keys in a place that is another key's.
#[derive(pie::Model)]
#[pie(ttl = "5m", auto)] //~ 2
struct User {
    #[pie(id)]
    id: i64,
    #[pie(table = "users")] //~
    email: String,
}

fn main() {}
