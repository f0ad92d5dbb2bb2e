//! Attributes with a value of the wrong kind.
#[derive(pie::Model)]
#[pie(table = 5)] //~
struct User {
    #[pie(id = "yes")] //~
    id: i64,
    #[pie(column)] //~
    name: String,
    #[pie(unique("email"))] //~
    email: String,
    #[pie(json = true)] //~
    settings: Vec<String>,
}

#[derive(pie::Model)]
#[pie(unique = "a, b", cached = "5m")] //~ 2
struct Lists {
    #[pie(id)]
    id: i64,
    a: i64,
    b: i64,
}

fn main() {}
