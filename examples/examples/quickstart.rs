//! A two-level cache in front of a real database, in one page.
//!
//! ```text
//! cargo run --example quickstart
//! cargo run --example quickstart -- --redis redis://localhost:6379 --database sqlite://countries.db
//! ```
//!
//! Fills a SQLite database with the countries of ISO 3166, asks ten different questions twice, changes a row, shows that
//! the next read sees it, and prints what each layer did.

use std::time::{Duration, Instant};

use pie::prelude::*;

#[derive(Debug, Clone, Model)]
#[cached(ttl = "5m", jitter = "30s", empty_ttl = "10s", tags("countries"))]
struct Country {
    /// ISO 3166-1 alpha-2.
    #[pie(id)]
    code: String,
    /// ISO 3166-1 alpha-3.
    #[pie(unique)]
    alpha3: String,
    name: String,
    #[pie(index)]
    region: Option<String>,
    subregion: Option<String>,
    /// ISO 4217.
    #[pie(index)]
    currency: Option<String>,
    population: Option<i64>,
}

/// Names, codes, regions, currencies and populations from the Unicode CLDR (`data/LICENSE-UNICODE`).
const DATA: &str = include_str!("../data/countries.csv");

fn countries() -> impl Iterator<Item = NewCountry> {
    let some = |text: &str| (!text.is_empty()).then(|| text.to_owned());
    DATA.lines().skip(1).filter_map(move |line| {
        let mut fields = line.split(';');
        let mut next = || fields.next().unwrap_or_default();
        let (code, alpha3, _numeric) = (next().to_owned(), next().to_owned(), next());
        let (name, region, subregion, currency) =
            (next().to_owned(), some(next()), some(next()), some(next()));
        let population = next().parse().ok();
        (!code.is_empty()).then_some(NewCountry {
            code,
            alpha3,
            name,
            region,
            subregion,
            currency,
            population,
        })
    })
}

/// Asks one question twice, and prints a line of the table.
async fn twice<T>(
    engine: &Engine,
    question: &str,
    rows: impl Fn(&T) -> u64,
    ask: impl AsyncFn() -> pie::Result<T>,
) -> pie::Result<()> {
    let hits = || -> Vec<(&str, u64)> {
        engine.cache().layers().iter().map(|layer| (layer.stats().name, layer.stats().hits)).collect()
    };
    let mut line = String::new();
    let mut count = 0;
    for _ in 0..2 {
        let (before, loads, start) = (hits(), engine.cache().stats().loads, Instant::now());
        count = rows(&ask().await?);
        let time = start.elapsed();
        let answered = before.iter().zip(hits()).find(|((_, before), (_, after))| after > before);
        let loaded = engine.cache().stats().loads > loads;
        let who = answered.filter(|_| !loaded).map_or("database", |((name, _), _)| name);
        line.push_str(&format!("  {who:<8} {:>8.1} µs", time.as_secs_f64() * 1e6));
    }
    println!("{question:<44} {count:>4}{line}");
    Ok(())
}

#[tokio::main]
async fn main() -> pie::Result<()> {
    let mut builder =
        Engine::builder().database(examples::database()).memory(pie::Memory::max_bytes(16 << 20));
    if let Some(url) = examples::option("--redis") {
        builder = builder.redis(url);
    }
    let engine = builder.build().await?;
    engine.create_tables::<(Country,)>().await?;
    if !Country::query(&engine).no_cache().exists().await? {
        Country::insert_many(&engine, countries()).await?;
    }

    println!("{:<44} {:>4}  {:<20}  {:<20}", "question", "rows", "asked first", "asked again");
    let (one, list) = (
        |row: &Option<Cached<Country>>| u64::from(row.is_some()),
        |rows: &Cached<Vec<Country>>| rows.len() as u64,
    );
    let number = |number: &u64| *number;
    let db = &engine;

    twice(db, "find_by_id(\"JP\")", one, async || Country::find_by_id(db, "JP").await).await?;
    twice(db, "find_by_alpha3(\"DEU\")", one, async || Country::find_by_alpha3(db, "DEU").await).await?;
    twice(db, "find_by_id(\"XX\"), which does not exist", one, async || Country::find_by_id(db, "XX").await)
        .await?;
    twice(db, "list_by_currency(\"EUR\"), by name", list, async || {
        Country::list_by_currency(db, "EUR").order_by(Country::NAME.asc()).await
    })
    .await?;
    twice(db, "list_by_region(None)", list, async || Country::list_by_region(db, None).await).await?;
    twice(db, "more than 100 million people, largest first", list, async || {
        Country::query(db)
            .filter(Country::POPULATION.gt(100_000_000))
            .order_by(Country::POPULATION.desc())
            .cache(Duration::from_secs(3_600))
            .tags(["population"])
            .await
    })
    .await?;
    twice(db, "names with \"land\" in Europe or Oceania", list, async || {
        let where_ = Country::REGION.in_(["Europe", "Oceania"]);
        Country::query(db).filter(Country::NAME.contains("land").and(where_)).await
    })
    .await?;
    twice(db, "count of Africa", number, async || Country::list_by_region(db, "Africa").count().await)
        .await?;
    twice(db, "the least populated country", one, async || {
        Country::query(db).filter(Country::POPULATION.gt(0)).order_by(Country::POPULATION.asc()).first().await
    })
    .await?;
    twice(
        db,
        "page 2 of Asia, 20 rows a page",
        |page: &Cached<pie::Page<Country>>| page.rows.len() as u64,
        async || Country::list_by_region(db, "Asia").order_by(Country::NAME.asc()).page(2, 20).await,
    )
    .await?;
    let ids = ["FR", "BR", "IN", "YY"].map(str::to_owned);
    twice(
        db,
        "find_by_ids of FR, BR, IN, YY",
        |rows: &Vec<Option<Cached<Country>>>| rows.iter().flatten().count() as u64,
        async || Country::find_by_ids(db, &ids).await,
    )
    .await?;

    println!("\nA write invalidates what it touches, and nothing else:");
    let show = async |when: &str| -> pie::Result<()> {
        let japan = Country::find_by_id(db, "JP").required().await?;
        let germany = Country::find_by_alpha3(db, "DEU").required().await?;
        println!(
            "{when:<8} JP: {:<14} from {:<9}  DE: {:<14} from {}",
            japan.name,
            japan.source(),
            germany.name,
            germany.source()
        );
        Ok(())
    };
    show("before").await?;
    Country::update_by_id(db, "JP").name("Nippon").await?;
    show("after").await?;
    show("again").await?;
    Country::update_by_id(db, "JP").name("Japan").await?;

    println!("\n{}", engine.cache().report());
    engine.close().await;
    Ok(())
}
