//! Handles that are none.
#![allow(unused)]
use pie::prelude::*;

#[derive(Model)]
struct User {
    #[pie(id, auto)]
    id: i64,
}

async fn run(url: String) {
    let _ = User::find_by_id(&url, 1).await; //~
}

struct Users {
    name: String,
}

impl Users {
    #[cached(ttl = "5m", via = self.name)] //~
    pub async fn count(&self) -> u64 {
        1
    }

    #[invalidates(tags("users"), via = self.name)] //~
    async fn rename(&self) {}
}

fn main() {}
