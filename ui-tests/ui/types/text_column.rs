//! Text of a number.
use pie::prelude::*;

#[derive(Model)]
struct User {
    #[pie(id, auto)]
    id: i64,
}

async fn run(engine: &Engine) {
    let _ = User::query(engine).filter(User::ID.starts_with("1")).await; //~
}

fn main() {
    let _ = run;
}
