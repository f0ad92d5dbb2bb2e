//! Models and functions that another macro writes.
use pie::prelude::*;

macro_rules! table {
    ($name:ident, $table:literal, $ttl:literal, $($field:ident: $type:ty),*) => {
        #[derive(Debug, Clone, Model)]
        #[cached(ttl = $ttl)]
        #[pie(table = $table)]
        pub struct $name {
            #[pie(id, auto)]
            pub id: i64,
            $(pub $field: $type,)*
        }
    };
}

table!(User, "people", "5m", name: String, nick: Option<String>);

macro_rules! getter {
    ($name:ident, $key:literal, $argument:ident) => {
        #[cached(ttl = "1m", key = $key, via = global)]
        pub async fn $name($argument: i64) -> i64 {
            $argument
        }
    };
}

getter!(profile, "profile:{id}", id);

fn main() {
    assert_eq!(User::SCHEMA.table, "people");
    assert_eq!(profile_cache_key(5), "profile:5");
}
