#[derive(pie::Model)]
enum User {
    Ann,
}

fn main() {}
