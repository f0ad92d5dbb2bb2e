//! A union as an argument.
#[derive(pie::CacheKey)]
union Bits { //~
    a: i64,
    b: f64,
}

fn main() {}
