//! `auto` without an id.
#[derive(pie::Model)]
struct NotTheId {
    #[pie(id)]
    id: i64,
    #[pie(auto)] //~
    counter: i64,
}

fn main() {}
