//! A column type for any type.
#[derive(Clone, pie::Value)]
struct Id<T>(T); //~

fn main() {}
