//! `#[cached]` above and below the derive, with and without arguments, by its path.
use pie::{Model, cached};

#[cached(ttl = "5m", tags("users"))]
#[derive(Debug, Clone, Model)]
struct Above {
    #[pie(id, auto)]
    id: i64,
}

#[derive(Debug, Clone, pie::Model)]
#[pie::cached(ttl = "5m", tags("users"))]
struct Below {
    #[pie(id, auto)]
    id: i64,
}

#[derive(Debug, Clone, Model)]
#[cached]
struct Bare {
    #[pie(id, auto)]
    id: i64,
}

#[derive(Debug, Clone, Model)]
#[pie(cached(ttl = "5m", enabled = false))]
struct Inside {
    #[pie(id, auto)]
    id: i64,
}

fn main() {
    assert_eq!(Above::SCHEMA.policy, Below::SCHEMA.policy);
    assert!(Above::SCHEMA.policy.enabled && Bare::SCHEMA.policy.enabled && !Inside::SCHEMA.policy.enabled);
    assert_eq!(Above::SCHEMA.table, "aboves");
}
