//! A JSON column of a type that serde does not know.
struct Settings;

#[derive(pie::Model)]
struct User {
    #[pie(id)]
    id: i64,
    #[pie(json)]
    settings: Settings, //~
}

fn main() {}
