use pie::cached;

#[cached(ttl = "5m")]
struct User {
    id: i64,
}

fn main() {}
