#[derive(pie::Model)]
#[pie(tabel = "users")]
struct User {
    #[pie(id)]
    id: i64,
    #[pie(uniqe)]
    email: String,
    #[pie(primary_key)]
    other: String,
}

#[derive(pie::Model)]
#[pie(ttl = "5m")]
struct Misplaced {
    #[pie(id)]
    id: i64,
    #[pie(table = "users")]
    email: String,
}

fn main() {}
