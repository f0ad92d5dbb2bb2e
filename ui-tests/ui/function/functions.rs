//! Functions that cannot be cached as they are.
#![allow(unused)]
use pie::prelude::*;

#[cached(ttl = "5m")]
fn not_async(engine: &Engine) -> u64 { 1 }

#[cached(ttl = "5m")]
async fn no_engine(id: i64) -> u64 { 1 }

#[cached(ttl = "5m")]
async fn returns_nothing(engine: &Engine) {}

#[cached(ttl = "5m")]
async fn hidden(engine: &Engine) -> impl Send { 1 }

#[cached(ttl = "5m")]
async fn no_name(engine: &Engine, (a, b): (i64, i64)) -> i64 { a + b }

fn main() {}
