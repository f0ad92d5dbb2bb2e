//! How writes invalidate.
use pie::prelude::*;

#[derive(Model)]
#[pie(invalidate = "never")] //~
struct User {
    #[pie(id)]
    id: i64,
}

#[derive(Model)]
#[pie(invalidate, touches = "Order")] //~ 2
struct Order {
    #[pie(id)]
    id: i64,
}

fn main() {}
