//! What can go wrong with a cache, and what a program does about it: mostly nothing.
//!
//! `cargo run --example error_handling`
#![allow(clippy::print_stdout, reason = "it is an example")]

use std::time::Duration;

use pie::prelude::*;
use pie::testing::{Fault, FaultyLayer, ManualClock};
use pie::{Error, ErrorKind, OnL2Down};

#[derive(Debug, Clone, Model)]
#[cached(ttl = "5m")]
struct User {
    #[pie(id, auto)]
    id: i64,
    #[pie(index)]
    status: String,
}

fn handle_cache_error(error: Option<&Error>) -> &'static str {
    match error.map(Error::kind) {
        None => "fine",
        Some(ErrorKind::NotFound) => "cache miss - this is normal",
        Some(ErrorKind::Expired) => "cache expired - refreshing",
        Some(ErrorKind::Disabled) => "cache is disabled",
        Some(_) => "cache error",
    }
}

#[tokio::main(flavor = "current_thread")]
async fn main() -> pie::Result<()> {
    let (clock, layer) = (ManualClock::new(), FaultyLayer::new());
    let engine =
        Engine::builder().database(examples::database()).layer(layer.clone()).clock(&clock).build().await?;
    engine.create_tables::<(User,)>().await?;
    User::insert(&engine, NewUser { status: "active".into() }).await?;
    let cache = engine.cache();

    let answer = |outcome: pie::Result<Cached<u32>>| handle_cache_error(outcome.err().as_ref());
    println!("never set:     {}", answer(cache.get("answer").required().await));
    cache.set("answer", &42, Duration::from_secs(60)).jitter(Duration::ZERO).await?;
    println!("set:           {}", answer(cache.get("answer").required().await));
    clock.advance(Duration::from_secs(61));
    println!("a minute on:   {}", answer(cache.get("answer").required().await));
    cache.disable();
    println!("switched off:  {}", answer(cache.get("answer").required().await));
    cache.enable();

    // Falling back to the database is built in: a layer that fails is counted, and the query does not notice.
    layer.set_fault(Fault::Fail);
    let users = User::list_by_status(&engine, "active").await?;
    println!(
        "a broken layer: {} user from {}, {} errors counted",
        users.len(),
        users.source(),
        cache.layers()[0].stats().errors
    );

    // Unless the program wants to know, because the database could not take the load.
    let outcome = User::list_by_status(&engine, "active").on_l2_down(OnL2Down::Fail).await;
    println!("and if asked for: {}", handle_cache_error(outcome.as_ref().err()));
    assert!(outcome.is_err_and(|error| error.kind() == ErrorKind::Layer));
    Ok(())
}
