//! Functions that do not wait for anything, and what is no function.
use pie::prelude::*;

#[invalidates(tags("users"))]
fn rename(_engine: &Engine) {} //~

#[invalidates(tags("users"))] //~
struct Users;

fn main() {
    let _ = (rename, Users);
}
