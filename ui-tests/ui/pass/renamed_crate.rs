//! The library under another path.
mod inner {
    pub use pie as database;
}

#[derive(Clone, inner::database::Value)]
#[pie(crate = crate::inner::database)]
enum Kind {
    A,
}

#[inner::database::cached(ttl = "5m")]
#[derive(inner::database::Model)]
#[pie(crate = crate::inner::database)]
struct User {
    #[pie(id, auto)]
    id: i64,
    kind: Kind,
}

#[derive(inner::database::Model)]
#[inner::database::cached(ttl = "5m")]
#[pie(crate = crate::inner::database)]
struct Order {
    #[pie(id, auto)]
    id: i64,
}

fn main() {
    let _ = User::ID.eq(1);
    let _ = Order::ID.eq(1);
}
