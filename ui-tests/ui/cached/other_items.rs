//! What is neither a model nor a function.
use pie::cached;

#[cached(ttl = "5m")]
enum Kind { //~
    A,
}

#[cached(ttl = "5m")]
trait Users { //~
    fn find();
}

struct Repository;

#[cached(ttl = "5m")]
impl Repository { //~
    fn find() {}
}

#[cached(ttl = "5m")]
mod users {} //~

fn main() {
    let _ = Kind::A;
    Repository::find();
}
