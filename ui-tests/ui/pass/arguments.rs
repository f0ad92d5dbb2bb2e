//! Everything an argument may be.
use pie::{CacheKey, prelude::*};

#[derive(CacheKey)]
pub struct Search<'a> {
    text: &'a str,
    pages: Vec<u32>,
}

#[derive(CacheKey)]
pub enum Sort<T> {
    Name,
    Age { descending: bool },
    By(T, T),
}

#[derive(CacheKey)]
pub struct Unit;

#[cached(ttl = "1m", via = global)]
pub async fn find(
    id: i64,
    name: &str,
    owned: String,
    list: &[u8],
    names: Vec<&str>,
    pair: (u8, bool),
    maybe: Option<&str>,
    search: &Search<'_>,
    sort: Sort<u8>,
    unit: Unit,
    boxed: Box<str>,
    mut counter: u64,
) -> u64 {
    counter += id as u64;
    let _ = (name, owned, list, names, pair, maybe, search, sort, unit, boxed);
    counter
}

fn main() {
    let search = Search { text: "a", pages: vec![1] };
    let sort = Sort::By(1, 2);
    let key = find_cache_key(
        1, "n", String::new(), &[1], vec!["a"], (1, true), Some("x"), &search, sort, Unit, "b".into(), 5,
    );
    assert!(key.starts_with("find:"), "{key}");
    let _ = (Sort::<u8>::Name, Sort::<u8>::Age { descending: true });
}
