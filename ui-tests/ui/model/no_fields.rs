//! A struct without a column.
#[derive(pie::Model)]
struct User {} //~

fn main() {}
