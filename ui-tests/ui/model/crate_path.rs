//! Paths of the library that are none, of every macro.
#[derive(pie::Model)]
#[pie(crate = "pie")] //~
struct User {
    #[pie(id)]
    id: i64,
}

#[derive(Clone, pie::Value)]
#[pie(crate)] //~
struct UserId(i64);

#[derive(pie::CacheKey)]
#[pie(crate = 5)] //~
struct Search(u8);

#[pie::cached(ttl = "5m", via = global, crate = "pie")] //~
async fn find() -> u64 {
    1
}

#[pie::invalidates(tags("users"), via = global, crate())] //~
async fn rename() {}

fn main() {
    let _ = (find, rename);
}
