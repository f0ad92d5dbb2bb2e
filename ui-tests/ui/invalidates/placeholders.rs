//! Placeholders that name nothing.
#![allow(unused)]
use pie::prelude::*;

#[invalidates(keys("profile:{idd}"))] //~
async fn f0(engine: &Engine, id: i64) {}

#[invalidates(patterns("profile:{user}:*"))] //~
async fn f1(engine: &Engine) {}

#[invalidates(tags("{"))] //~
async fn f2(engine: &Engine) {}

fn main() {}
