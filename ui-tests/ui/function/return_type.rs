//! Values that cannot be stored.
#![allow(unused)]
use pie::prelude::*;
use std::sync::Arc;

struct Profile;

#[cached(ttl = "5m")]
async fn in_an_option(engine: &Engine) -> Option<Profile> { //~
    None
}

#[cached(ttl = "5m")]
async fn in_a_result(engine: &Engine) -> Result<Vec<Profile>, String> { //~
    Ok(Vec::new())
}

#[cached(ttl = "5m")]
async fn shared(engine: &Engine) -> pie::Result<Option<Arc<Profile>>> { //~
    Ok(None)
}

#[cached(ttl = "5m")]
pub async fn with_companions(engine: &Engine) -> Profile { //~
    Profile
}

fn main() {}
