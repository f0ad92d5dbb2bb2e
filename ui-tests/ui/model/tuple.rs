#[derive(pie::Model)]
struct User(i64, String);

#[derive(pie::Model)]
struct Nothing;

fn main() {}
