//! A field whose type does not tell what it holds.
struct Street(String);

#[derive(pie::HeapSize)]
struct Address {
    street: Street, //~
    number: u32,
}

fn main() {}
