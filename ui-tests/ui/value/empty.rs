//! An enum with nothing in it.
#[derive(Clone, pie::Value)]
enum Never {} //~

fn main() {}
