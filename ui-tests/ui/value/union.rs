//! A union as a column.
#[derive(Clone, Copy, pie::Value)]
union Bits { //~
    a: i64,
    b: f64,
}

fn main() {}
