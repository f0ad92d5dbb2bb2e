//! Arguments, fields of arguments and placeholders that cannot be part of a key.
#![allow(unused)]
use pie::prelude::*;

struct Filter;
struct Search {
    filter: Filter,
}

#[cached(ttl = "5m")]
async fn find(engine: &Engine, filter: &Filter) -> u64 { //~
    1
}

#[cached(ttl = "5m")]
pub async fn with_companions(engine: &Engine, filter: Filter) -> u64 { //~
    1
}

#[cached(ttl = "5m", key = "find:{search.filter}")] //~
async fn by_field(engine: &Engine, search: &Search) -> u64 {
    1
}

#[cached(ttl = "5m", tags("by:{filter}"), skip(filter))] //~
async fn tagged(engine: &Engine, filter: &Filter) -> u64 {
    1
}

#[invalidates(keys("find:{filter}"))] //~
async fn change(engine: &Engine, filter: &Filter) {}

#[derive(pie::CacheKey)]
struct Page {
    text: String,
    filter: Filter, //~
}

#[derive(pie::CacheKey)]
enum Sort {
    By(Filter), //~
}

fn main() {}
