//! Return types and columns behind other names.
use pie::prelude::*;
use std::sync::Arc;

type Answer<T> = std::result::Result<T, std::io::Error>;
type Maybe<T> = Option<T>;
type Shared<T> = Arc<T>;
type Nick = Option<String>;

#[cached(ttl = "1m", via = global)]
pub async fn answer(id: i64) -> Answer<Maybe<i64>> {
    Ok(Some(id))
}

#[cached(ttl = "1m", via = global)]
pub async fn shared(id: i64) -> Answer<Maybe<Shared<i64>>> {
    Ok(Some(Arc::new(id)))
}

#[derive(Model)]
struct User {
    #[pie(id)]
    id: i64,
    nick: Nick,
    #[pie(json)]
    tags: Maybe<Vec<String>>,
}

fn main() {
    let _ = (answer(1), shared(1), User::NICK.is_null());
}
