#[derive(pie::Model)]
struct User {
    #[pie(id, unique)]
    id: i64,
    #[pie(unique, index)]
    email: String,
    #[pie(json, index)]
    settings: Vec<String>,
    #[pie(skip, column = "x")]
    note: String,
    #[pie(column = "email")]
    other: String,
}

fn main() {}
