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

#[inner::database::cached(ttl = "1m", via = global, crate = crate::inner::database)]
pub async fn find(id: i64) -> i64 {
    id
}

#[inner::database::invalidates(tags("users"), via = global, crate = crate::inner::database)]
pub async fn rename() {}

#[derive(inner::database::CacheKey)]
#[pie(crate = crate::inner::database)]
pub struct Search(u8);

fn main() {
    assert_eq!(find_cache_key(1), "find:1");
    let _ = (rename, Search(1).0);
    let _ = User::ID.eq(1);
    let _ = Order::ID.eq(1);
}
