//! Attributes of what is counted, which has none but `crate`.
#[derive(pie::HeapSize)]
#[pie(skip)] //~
struct Address {
    #[pie(skip)] //~
    street: String,
    number: u32,
}

#[derive(pie::HeapSize)]
enum Contact {
    #[pie(skip)] //~
    Mail(String),
}

fn main() {}
