//! Ids of another type.
use pie::prelude::*;

#[derive(Model)]
struct User {
    #[pie(id, auto)]
    id: i64,
}

async fn run(engine: &Engine) {
    let _ = User::find_by_ids(engine, &["ann"]).await; //~
}

fn main() {
    let _ = run;
}
