//! A path of the library that is none.
#[derive(pie::Model)]
#[pie(crate = "pie")] //~
struct User {
    #[pie(id)]
    id: i64,
}

fn main() {}
