//! Values of columns are copied out of the cache.
#[derive(pie::Value)]
struct Id(i64); //~

fn main() {}
