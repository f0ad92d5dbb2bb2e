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
    let _ = User::query(engine).filter(Order::ID.eq(1)).await;
}

fn main() {
    let _ = run;
}
