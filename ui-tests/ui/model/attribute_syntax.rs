//! Attributes that are none.
#[derive(pie::Model)]
#[pie = "users"] //~
struct User {
    #[pie(id)]
    id: i64,
    #[pie] //~
    email: String,
    #[pie(unique index)] //~
    name: String,
}

fn main() {}
