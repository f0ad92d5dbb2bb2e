//! Rows of a raw statement as something they do not become.
use pie::prelude::*;

struct Count(i64);

async fn run(engine: &Engine) {
    let _ = engine.sql("SELECT 1").all::<Count>().await; //~
    let _ = engine.sql("SELECT 1").all::<i64>().await; //~
}

fn main() {
    let _ = run;
}
