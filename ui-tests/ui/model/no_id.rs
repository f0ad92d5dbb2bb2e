//! A model without an id.
use pie::prelude::*;

#[derive(Model)]
struct User { //~
    id: i64,
    name: String,
}

async fn use_it(engine: &Engine) -> pie::Result<()> {
    User::find_by_id(engine, 1).await?;
    User::insert(engine, NewUser { id: 1, name: String::new() }).await?;
    Ok(())
}

fn main() {
    let _ = use_it;
}
