//! A union has no columns.
#[derive(pie::Model)]
union User { //~
    id: i64,
    bits: u64,
}

fn main() {}
