//! The cache for values of your own: loads, tags, patterns, and a fence around what you compute yourself.
//!
//! `cargo run --example by_hand`
#![allow(clippy::print_stdout, reason = "it is an example")]

use std::time::Duration;

use pie::prelude::*;
use serde::{Deserialize, Serialize};

#[derive(Debug, Serialize, Deserialize)]
struct Weather {
    city: String,
    degrees: f64,
}

/// Stands for a slow service.
async fn ask(city: &str) -> pie::Result<Weather> {
    println!("  … asking the service about {city}");
    tokio::time::sleep(Duration::from_millis(50)).await;
    Ok(Weather { city: city.to_owned(), degrees: 21.5 })
}

#[tokio::main(flavor = "current_thread")]
async fn main() -> pie::Result<()> {
    let engine = Engine::builder().database(examples::database()).build().await?;
    let cache = engine.cache();
    let minute = Duration::from_secs(60);

    println!("Ten readers at once, one load:");
    let readers = (0..10).map(|_| {
        let cache = engine.cache();
        tokio::spawn(async move {
            let weather =
                cache.get_or_load("weather:bergen", minute, || ask("Bergen")).tags(["weather"]).await?;
            Ok::<f64, pie::Error>(weather.degrees)
        })
    });
    for reader in readers.collect::<Vec<_>>() {
        assert!(reader.await.is_ok_and(|degrees| degrees.is_ok()));
    }

    println!("A tag ends it, and everything else that has it:");
    cache.delete_by_tags(["weather"]).await?;
    let again = cache.get_or_load("weather:bergen", minute, || ask("Bergen")).tags(["weather"]).await?;
    println!("  {} has {} degrees, from {}", again.city, again.degrees, again.source());

    println!("Values set by hand, and a pattern:");
    cache.set_many([("rate:eur:nok", 11.7), ("rate:eur:sek", 11.1), ("rate:usd:nok", 10.9)], minute).await?;
    cache.delete_by_pattern("rate:eur:*").await?;
    let left = cache.get_many::<f64, _>(&["rate:eur:nok", "rate:eur:sek", "rate:usd:nok"]).await?;
    println!("  {left:?}");

    println!("A fence around what is computed here:");
    let fence = cache.fence("total").await?;
    let total = 41; // read from somewhere, before …
    cache.delete("total").await?; // … somebody changed it
    println!("  stored: {}", fence.set(&total, minute).await?);

    println!("{}", cache.stats());
    Ok(())
}
