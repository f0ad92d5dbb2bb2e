//! An error, or a value, that only its own thread can have.
#![allow(unused)]
use pie::prelude::*;
use std::error::Error;
use std::rc::Rc;

#[cached(ttl = "5m")]
pub async fn find(engine: &Engine) -> Result<u64, Box<dyn Error>> { //~
    Ok(1)
}

#[cached(ttl = "5m")]
async fn quietly(engine: &Engine) -> Option<Rc<u64>> { //~
    None
}

fn main() {}
