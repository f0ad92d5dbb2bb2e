//! Structs without names; what uses them has no second message.
#[derive(pie::Model)]
#[pie::cached(ttl = "5m")]
struct User(i64, String); //~

#[pie::cached(ttl = "5m")]
#[derive(pie::Model)]
struct Nothing; //~

fn main() {
    let _ = (User(1, String::new()), Nothing, <User as pie::Model>::SCHEMA);
}
