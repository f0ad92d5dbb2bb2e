use pie::prelude::*;

#[derive(Model)]
struct User {
    #[pie(id, auto)]
    id: i64,
    name: String,
    age: i32,
}

fn main() {
    let _ = NewUser { name: String::new() }; //~
}
