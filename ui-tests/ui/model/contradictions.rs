//! Attributes that say a thing twice.
#[derive(pie::Model)]
struct User {
    #[pie(id, unique)] //~
    id: i64,
    #[pie(unique, index)] //~
    email: String,
}

#[derive(pie::Model)]
struct Order {
    #[pie(id, index)] //~
    id: i64,
}

fn main() {}
