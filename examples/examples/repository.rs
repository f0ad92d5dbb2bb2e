//! A repository over plain sqlx, without any model: its functions are cached, and those that write say what they end.
//!
//! `cargo run --example repository`
#![allow(clippy::print_stdout, reason = "it is an example")]

use pie::prelude::*;
use serde::{Deserialize, Serialize};
use sqlx::sqlite::SqliteRow;
use sqlx::{FromRow, Row, SqlitePool};

#[derive(Debug, Clone, Serialize, Deserialize)]
struct Product {
    id: i64,
    name: String,
    cents: i64,
}

/// As `#[derive(sqlx::FromRow)]` would have it; that takes a feature of sqlx that compiles all of its databases a second time.
impl FromRow<'_, SqliteRow> for Product {
    fn from_row(row: &SqliteRow) -> sqlx::Result<Self> {
        Ok(Self { id: row.try_get("id")?, name: row.try_get("name")?, cents: row.try_get("cents")? })
    }
}

#[derive(Debug)]
struct Products {
    pool: SqlitePool,
    engine: Engine,
}

impl Products {
    /// One product; its key is `product:7`.
    #[cached(ttl = "10m", empty_ttl = "30s", key = "product:{id}", tags("products"), via = self.engine)]
    pub(crate) async fn by_id(&self, id: i64) -> Result<Option<Product>, sqlx::Error> {
        println!("    (the database is asked for product {id})");
        sqlx::query_as("SELECT id, name, cents FROM products WHERE id = ?")
            .bind(id)
            .fetch_optional(&self.pool)
            .await
    }

    /// Products by words in their names; a hit gives the list itself, not a copy.
    #[cached(ttl = "1m", jitter = "10s", tags("products"), name = "search", via = self.engine)]
    pub(crate) async fn search(
        &self,
        words: &[&str],
        most: u32,
    ) -> Result<Cached<Vec<Product>>, sqlx::Error> {
        println!("    (the database searches for {words:?})");
        let pattern = format!("%{}%", words.join("%"));
        let found = sqlx::query_as("SELECT id, name, cents FROM products WHERE name LIKE ? LIMIT ?");
        found.bind(pattern).bind(most).fetch_all(&self.pool).await.map(Cached::from)
    }

    /// Changes a price: this product ends, and every search.
    #[invalidates(keys("product:{id}"), patterns("search:*"), via = self.engine)]
    pub(crate) async fn set_price(&self, id: i64, cents: i64) -> Result<bool, sqlx::Error> {
        let change = sqlx::query("UPDATE products SET cents = ? WHERE id = ?").bind(cents).bind(id);
        Ok(change.execute(&self.pool).await?.rows_affected() > 0)
    }
}

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let pool = SqlitePool::connect("sqlite::memory:").await?;
    sqlx::raw_sql(
        "CREATE TABLE products (id INTEGER PRIMARY KEY, name TEXT NOT NULL, cents INTEGER NOT NULL);
         INSERT INTO products (name, cents) VALUES ('red chair', 9900), ('blue chair', 8900), ('red lamp', 4500);",
    )
    .execute(&pool)
    .await?;
    // The engine is only the cache here; it could have Redis behind it.
    let engine = Engine::builder().database(pool.clone()).build().await?;
    let products = Products { pool, engine };

    println!("the same product twice, and one that is not there:");
    for id in [1, 1, 99, 99] {
        println!("  {id}: {:?}", products.by_id(id).await?.map(|product| product.name));
    }
    println!("a search twice:");
    for _ in 0..2 {
        let found = products.search(&["red"], 10).await?;
        println!("  {} products, from {}", found.len(), found.source());
    }
    println!("a price changes:");
    assert!(products.set_price(1, 7900).await?);
    println!("  {:?}", products.by_id(1).await?);
    println!("  {} products", products.search(&["red"], 10).await?.len());
    println!("the key of product 1 is {}", products.by_id_cache_key(1));
    Ok(())
}
