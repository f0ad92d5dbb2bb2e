//! JSON columns that are looked up by.
#[derive(pie::Model)]
struct User {
    #[pie(id)]
    id: i64,
    #[pie(json, index)] //~
    settings: Vec<String>,
    #[pie(unique, json)] //~
    tags: Vec<String>,
}

fn main() {}
