#![deny(unused_must_use)]

use pie::prelude::*;

#[derive(Model)]
struct User {
    #[pie(id, auto)]
    id: i64,
    name: String,
}

async fn run(engine: &Engine) {
    User::find_by_id(engine, 1); //~
    User::query(engine).count(); //~
    User::update_by_id(engine, 1).name("Ann"); //~
    User::delete_by_id(engine, 1); //~
    User::insert(engine, NewUser { name: String::new() }); //~
    engine.sql("SELECT 1"); //~
}

fn main() {
    let _ = run;
}
