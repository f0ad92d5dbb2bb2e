//! Keys that there are not.
#[derive(pie::Model)]
#[pie(tabel = "users")] //~
struct User {
    #[pie(id)]
    id: i64,
    #[pie(uniqe)] //~
    email: String,
    #[pie(primary_key)] //~
    other: String,
}

fn main() {}
