//! Each of these attributes is wrong in one way.
#![allow(unused)]
use pie::prelude::*;

#[cached(tll = "5m")]
async fn unknown_key(engine: &Engine) -> u64 { 1 }

#[cached(ttl = 300)]
async fn no_unit(engine: &Engine) -> u64 { 1 }

#[cached(ttl = "5m", ttl = "6m")]
async fn twice(engine: &Engine) -> u64 { 1 }

#[cached(ttl = "1m", jitter = "1m")]
async fn jitter(engine: &Engine) -> u64 { 1 }

#[cached(version = "two")]
async fn version(engine: &Engine) -> u64 { 1 }

#[cached(companions = 1)]
async fn companions(engine: &Engine) -> u64 { 1 }

#[cached(name = "a:b")]
async fn name(engine: &Engine) -> u64 { 1 }

#[cached(skip(trace_di))]
async fn skip(engine: &Engine, trace_id: u64) -> u64 { trace_id }

#[cached(depends)]
async fn depends(engine: &Engine) -> u64 { 1 }

#[cached(via)]
async fn via(engine: &Engine) -> u64 { 1 }

#[cached(ttl = "5m", stale = "1m")]
async fn stale(engine: &Engine) -> u64 { 1 }

#[cached(if)]
async fn condition(engine: &Engine) -> u64 { 1 }

fn main() {
    // The functions are there all the same.
    let _ = (unknown_key, no_unit, twice, jitter, version, companions, name, skip, depends, via, stale, condition);
}
