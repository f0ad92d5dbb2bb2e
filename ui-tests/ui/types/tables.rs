//! A single model, where a tuple of models is meant.
use pie::prelude::*;

#[derive(Model)]
struct User {
    #[pie(id)]
    id: i64,
}

async fn run(engine: &Engine) {
    let _ = engine.create_tables::<User>().await; //~
}

fn main() {
    let _ = run;
}
