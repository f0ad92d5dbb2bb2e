//! Three mistakes, three messages, and the function is there all the same.
use pie::prelude::*;

#[cached(tll = "5m", key = "profile:{idd}", tags("a*"), via = global)] //~ 3
pub async fn profile(id: i64) -> u64 {
    id as u64
}

async fn use_it() -> u64 {
    profile(1).await
}

fn main() {
    let _ = use_it;
}
