//! A pattern where a key is meant.
#![allow(unused)]
use pie::prelude::*;

#[invalidates(keys("profile:*"))] //~
async fn f0(engine: &Engine) {}

#[invalidates(tags("team:?"))] //~
async fn f1(engine: &Engine) {}

fn main() {}
