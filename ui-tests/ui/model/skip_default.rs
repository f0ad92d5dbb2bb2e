//! A skipped field of a type without a default.
struct Connection;

#[derive(pie::Model)]
struct User {
    #[pie(id)]
    id: i64,
    #[pie(skip)]
    connection: Connection, //~
}

fn main() {}
