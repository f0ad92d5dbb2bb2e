//! Models that a write changes as well, and that are none.
use pie::prelude::*;

struct Comment;

#[derive(Model)]
#[pie(touches(Comment))] //~
struct Page {
    #[pie(id)]
    id: i64,
}

#[derive(Model)]
#[pie(touches("Page"))] //~
struct User {
    #[pie(id)]
    id: i64,
}

fn main() {}
