use pie::prelude::*;

#[derive(Model)]
struct User {
    #[pie(id, auto)]
    id: i64,
    name: String,
}

async fn run(engine: &Engine) {
    let _ = User::query(engine).filter(User::NAME.eq(5)).await; //~
    let _ = User::find_by_id(engine, "ann").await; //~
}

fn main() {
    let _ = run;
}
