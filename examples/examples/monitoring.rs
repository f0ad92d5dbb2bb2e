//! What the cache does, as tables and for Prometheus.
//!
//! ```text
//! cargo run --example monitoring
//! cargo run --example monitoring -- --serve 9100    # then: curl localhost:9100/metrics
//! ```
#![allow(clippy::print_stdout, reason = "it is an example")]

use std::time::Duration;

use metrics_exporter_prometheus::{PrometheusBuilder, PrometheusHandle};
use pie::prelude::*;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpListener;

#[derive(Debug, Clone, Model)]
#[cached(ttl = "5m")]
struct User {
    #[pie(id, auto)]
    id: i64,
    #[pie(index)]
    status: String,
}

fn monitor_cache_performance(engine: &Engine) {
    let stats = engine.cache().stats();
    println!("Cache Performance:");
    println!("  Hit Rate: {:.2}%", stats.hit_rate);
    println!("  Total Requests: {}", stats.total);
    println!("  Memory Usage: {} bytes", stats.size);
    if stats.hit_rate < 50.0 {
        println!("WARNING: Low cache hit rate: {:.2}%", stats.hit_rate);
    }
}

/// What Prometheus reads.
fn render(engine: &Engine, recorder: &PrometheusHandle) -> String {
    engine.cache().publish_metrics();
    recorder.render()
}

/// The smallest server that Prometheus can scrape; a program has its own already.
async fn serve(port: u16, engine: &Engine, recorder: &PrometheusHandle) -> std::io::Result<()> {
    let listener = TcpListener::bind(("127.0.0.1", port)).await?;
    loop {
        let (mut connection, _) = listener.accept().await?;
        let _request = connection.read(&mut [0; 4096]).await?;
        let body = render(engine, recorder);
        let head =
            format!("HTTP/1.1 200 OK\r\ncontent-type: text/plain\r\ncontent-length: {}\r\n\r\n", body.len());
        connection.write_all((head + &body).as_bytes()).await?;
    }
}

#[tokio::main]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let recorder = PrometheusBuilder::new().install_recorder()?;
    let engine = Engine::builder().database(examples::database()).build().await?;
    engine.create_tables::<(User,)>().await?;
    User::insert(&engine, NewUser { status: "active".into() }).await?;

    User::find_by_id(&engine, 1).await?;
    monitor_cache_performance(&engine);
    for _ in 0..20 {
        User::find_by_id(&engine, 1).await?;
        User::list_by_status(&engine, "active").await?;
    }
    engine.cache().set("greeting", "hello", Duration::from_secs(60)).await?;
    engine.cache().get::<String>("greeting").await?;
    monitor_cache_performance(&engine);

    println!("\n{}\n", engine.cache().report());
    for (i, layer) in engine.cache().layers().iter().enumerate() {
        println!("Cache Layer {}: Hit Rate {:.2}%", i + 1, layer.stats().hit_rate);
    }
    let scraped = render(&engine, &recorder);
    assert!(scraped.contains("pie_lookups_total{of=\"User\",result=\"hit\"} 39"), "{scraped}");
    println!("\n{scraped}");

    if let Some(port) = std::env::args().skip_while(|argument| argument != "--serve").nth(1) {
        serve(port.parse()?, &engine, &recorder).await?;
    }
    Ok(())
}
