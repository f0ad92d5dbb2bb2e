#[derive(pie::Model)]
struct User {
    name: String,
}

fn main() {}
