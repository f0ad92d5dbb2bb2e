//! Values and columns of an update.
use pie::prelude::*;

#[derive(Model)]
struct User {
    #[pie(id, auto)]
    id: i64,
    name: String,
}

async fn run(engine: &Engine) {
    let _ = User::update_by_id(engine, 1).name(5).await; //~
    let _ = User::update_by_id(engine, 1).nmae("Ann").await; //~
}

fn main() {
    let _ = run;
}
