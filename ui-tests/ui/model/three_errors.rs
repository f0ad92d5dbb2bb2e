use pie::prelude::*;

#[derive(Model)]
#[pie(tabel = "users")] //~
#[cached(ttl = "5x")] //~
struct User {
    #[pie(id, auto)]
    id: i64,
    #[pie(unique, uniqe)] //~
    email: String,
}

// What could be understood is there all the same: no second-hand errors.
async fn use_it(engine: &Engine) -> pie::Result<()> {
    User::find_by_id(engine, 1).await?;
    User::find_by_email(engine, "ann").required().await?;
    User::insert(engine, NewUser { email: "ann".into() }).await?;
    User::update_by_id(engine, 1).email("bob").await?;
    Ok(())
}

fn main() {
    let _ = use_it;
}
