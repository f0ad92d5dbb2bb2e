//! Columns of another model.
use pie::prelude::*;

#[derive(Model)]
struct User {
    #[pie(id, auto)]
    id: i64,
}

#[derive(Model)]
struct Order {
    #[pie(id, auto)]
    id: i64,
}

async fn run(engine: &Engine) {
    let _ = User::query(engine).filter(Order::ID.eq(1)).await; //~
    let _ = User::query(engine).order_by(Order::ID.desc()).await; //~
}

fn main() {
    let _ = run;
}
