//! Keys that there are not.
#![allow(unused)]
use pie::prelude::*;

#[invalidates(key("profile:{id}"))] //~
async fn f0(engine: &Engine, id: i64) {}

#[invalidates(ttl = "5m")] //~
async fn f1(engine: &Engine) {}

fn main() {}
