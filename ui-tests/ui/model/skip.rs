//! What is not in the database has no name, no index and no id in it.
#[derive(pie::Model)]
struct User {
    #[pie(id)]
    id: i64,
    #[pie(skip, column = "x")] //~
    note: String,
    #[pie(index, skip)] //~
    rank: i64,
}

fn main() {}
