//! An enum has no columns; what uses it has no second message.
use pie::prelude::*;

#[derive(Model)]
enum User { //~
    Ann,
}

async fn use_it(engine: &Engine) -> pie::Result<()> {
    User::find_by_id(engine, 1).await?;
    User::query(engine).limit(3).await?;
    engine.create_tables::<(User,)>().await?;
    let _ = User::Ann;
    Ok(())
}

fn main() {
    let _ = use_it;
}
