//! Names that cannot be part of a key.
#[derive(pie::Model)]
#[pie(table = "")] //~
struct User {
    #[pie(id, column = "a:b")] //~
    id: i64,
    #[pie(column = "name*")] //~
    name: String,
}

fn main() {}
