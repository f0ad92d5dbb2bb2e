//! Two ids are one of two fields: a row with both is found by both, and no database counts them up.
use pie::prelude::*;

#[derive(Model)]
struct Membership {
    #[pie(id, auto)] //~
    org_id: i64,
    #[pie(id)]
    user_id: i64,
}

// As it was meant, all the same.
async fn use_it(engine: &Engine) -> pie::Result<()> {
    Membership::find_by_id(engine, 1, 2).await?;
    Membership::insert(engine, NewMembership { org_id: 1, user_id: 2 }).await?;
    Ok(())
}

fn main() {
    let _ = use_it;
}
