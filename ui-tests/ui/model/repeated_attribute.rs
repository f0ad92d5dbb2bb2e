#[derive(pie::Model)]
#[pie(table = "users")]
#[pie(table = "people")]
struct User {
    #[pie(id, id)]
    id: i64,
    #[pie(unique, column = "mail", column = "email")]
    email: String,
}

fn main() {}
