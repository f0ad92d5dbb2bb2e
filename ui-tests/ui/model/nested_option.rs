#[derive(pie::Model)]
struct User {
    #[pie(id)]
    id: i64,
    nick: Option<Option<String>>,
}

fn main() {}
