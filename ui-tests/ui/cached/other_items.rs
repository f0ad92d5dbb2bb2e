use pie::cached;

#[cached(ttl = "5m")]
async fn profile() {}

#[cached(ttl = "5m")]
enum Kind {
    A,
}

fn main() {
    let _ = profile();
    let _ = Kind::A;
}
