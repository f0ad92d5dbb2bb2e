//! A union, of which nobody knows which field is there.
#[derive(pie::HeapSize)]
union Bits { //~
    a: i64,
    b: f64,
}

fn main() {}
