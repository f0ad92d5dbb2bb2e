//! The companions of functions and methods, and functions without.
#![deny(unused)]
use pie::prelude::*;

pub struct Users {
    engine: Engine,
}

impl Users {
    #[cached(ttl = "1m", key = "profile:{id}", skip(trace), via = self.engine)]
    pub async fn profile(&self, id: i64, trace: &str) -> Result<u64, String> {
        let _ = trace;
        Ok(id as u64)
    }
}

#[cached(ttl = "1m", companions = true)]
async fn private(engine: &Engine, name: String) -> String {
    let _ = engine;
    name
}

#[cached(ttl = "1m", companions = false)]
pub async fn public(engine: &Engine) -> u64 {
    let _ = engine;
    1
}

/// Taken, and no clash.
pub fn public_cache_key() {}

async fn run(users: &Users) -> Result<(), Box<dyn std::error::Error>> {
    let _: String = users.profile_cache_key(1);
    let _: u64 = users.profile(1, "t").await?;
    let _: u64 = users.profile_uncached(1, "t").await?;
    let _: u64 = users.profile_refresh(1, "t").await?;
    users.profile_invalidate(1).await?;
    private(&users.engine, String::new()).await;
    private_uncached(&users.engine, String::new()).await;
    private_refresh(&users.engine, String::new()).await;
    private_invalidate(&users.engine, String::new()).await?;
    let _ = private_cache_key(String::new());
    public(&users.engine).await;
    public_cache_key();
    Ok(())
}

fn main() {
    let _ = run;
}
