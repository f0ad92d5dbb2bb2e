#[derive(pie::Model)]
struct User {
    #[pie(id, auto)]
    key: i64,
    #[pie(unique)]
    id: String, //~
    #[pie(unique)]
    email: String, //~
}

impl User {
    pub fn find_by_email() {}
}

fn main() {}
