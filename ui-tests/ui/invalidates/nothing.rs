//! Nothing is named.
use pie::prelude::*;

#[invalidates()]
async fn rename(_engine: &Engine) {} //~

#[invalidates]
async fn remove(_engine: &Engine) {} //~

#[invalidates(via = engine)]
async fn change(engine: &Engine) { //~
    let _ = engine;
}

fn main() {
    let _ = (rename, remove, change);
}
