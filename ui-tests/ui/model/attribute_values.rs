#[derive(pie::Model)]
#[pie(table = 5)]
struct User {
    #[pie(id = "yes")]
    id: i64,
    #[pie]
    email: String,
    #[pie(column)]
    name: String,
    #[pie(column = "a:b")]
    other: String,
}

fn main() {}
