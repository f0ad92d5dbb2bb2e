//! Two fields in one column, and two constants of one name.
#[derive(pie::Model)]
struct User {
    #[pie(id)]
    id: i64,
    email: String,
    #[pie(column = "email")]
    other: String, //~
}

#[allow(non_snake_case)]
#[derive(pie::Model)]
struct Point {
    #[pie(id)]
    id: i64,
    x: i64,
    X: i64, //~
}

fn main() {}
