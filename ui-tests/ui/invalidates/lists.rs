//! Lists that are none.
#![allow(unused)]
use pie::prelude::*;

#[invalidates(keys)] //~
async fn f0(engine: &Engine) {}

#[invalidates(tags = "users")] //~
async fn f1(engine: &Engine) {}

#[invalidates(patterns())] //~
async fn f2(engine: &Engine) {}

#[invalidates(models("User"))] //~
async fn f3(engine: &Engine) {}

fn main() {}
