//! What the benchmarks share: rounds, medians, and one JSON object for each line.
//!
//! Every figure is a ratio to a floor that is measured in the same run, round by round in turn.

use std::time::Duration;

use pie::Memory;
use pie::prelude::*;
use serde::{Deserialize, Serialize};

/// How many rounds there are of what is asked one after the other, and how many questions of one kind follow each other in a round: in turn, as
/// which thread runs on which core is decided anew now and then, and costs more than what is to be measured.
pub const TURN_ROUNDS: usize = 15;
/// See [`TURN_ROUNDS`].
pub const AT_A_TIME: usize = 50;

/// The row of all benchmarks.
#[derive(Debug, Clone, PartialEq, Model, Serialize, Deserialize)]
#[cached(ttl = "1h", tags("users"))]
pub struct User {
    /// The id.
    #[pie(id, auto)]
    pub id: i64,
    /// One of a kind.
    #[pie(unique)]
    pub email: String,
    /// A name.
    pub name: String,
    /// `rare` for each hundredth, else `common`.
    #[pie(index)]
    pub status: String,
    /// In years.
    pub age: i32,
    /// Any number.
    pub score: f64,
    /// Whether the user is active.
    pub active: bool,
}

/// A row to insert.
#[must_use]
pub fn new_user(i: i64) -> NewUser {
    NewUser {
        email: format!("user{i}@example.org"),
        name: format!("User Number {i}"),
        status: if i % 100 == 0 { "rare" } else { "common" }.to_owned(),
        age: 40,
        score: 0.5,
        active: true,
    }
}

/// An engine on a database in memory, with an L1 of so many bytes and no L2.
///
/// # Errors
/// The database fails.
pub async fn engine(max_bytes: u64) -> pie::Result<Engine> {
    let engine =
        Engine::builder().database("sqlite::memory:").memory(Memory::max_bytes(max_bytes)).build().await?;
    engine.create_tables::<(User,)>().await?;
    Ok(engine)
}

/// Inserts users 1 to `count` and has each in memory.
///
/// # Errors
/// The database fails.
pub async fn users(engine: &Engine, count: i64) -> pie::Result<()> {
    User::insert_many(engine, (1..=count).map(new_user)).await?;
    for id in 1..=count {
        User::find_by_id(engine, id).required().await?;
    }
    Ok(())
}

/// The median of some figures.
#[must_use]
pub fn median(mut figures: Vec<f64>) -> f64 {
    figures.sort_by(f64::total_cmp);
    figures.get(figures.len() / 2).copied().unwrap_or(f64::NAN)
}

/// Nanoseconds for each of `count` operations.
#[must_use]
#[allow(clippy::cast_precision_loss, reason = "a figure for people")]
pub fn each(time: Duration, count: u64) -> f64 {
    time.as_nanos() as f64 / count.max(1) as f64
}

/// `count` draws of 1 to `keys` by Zipf's law with this exponent: the first key is the most frequent. The same at each call.
#[must_use]
#[allow(clippy::cast_precision_loss, clippy::cast_possible_wrap, reason = "numbers of keys are small")]
pub fn zipf(keys: usize, exponent: f64, count: usize) -> Vec<i64> {
    let mut sum = 0.0;
    let below: Vec<f64> = (1..=keys)
        .map(|rank| {
            sum += (rank as f64).powf(-exponent);
            sum
        })
        .collect();
    // Neighbours in rank are none in memory: ranks are spread over the keys.
    let mut spread: Vec<i64> = (1..=keys as i64).collect();
    let mut random = Random(88_172_645_463_325_252);
    for at in (1..keys).rev() {
        spread.swap(at, random.below(at as u64 + 1) as usize);
    }
    (0..count)
        .map(|_| {
            let draw = random.next() as f64 / u64::MAX as f64 * sum;
            spread[below.partition_point(|below| *below < draw).min(keys - 1)]
        })
        .collect()
}

/// Xorshift: the same numbers in every run.
#[derive(Debug)]
pub struct Random(pub u64);

impl Random {
    /// The next number.
    #[allow(clippy::should_implement_trait, reason = "it never ends")]
    pub fn next(&mut self) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0
    }

    /// A number below a bound.
    pub fn below(&mut self, bound: u64) -> u64 {
        self.next() % bound.max(1)
    }
}

/// Prints the line of a figure that was not measured in rounds.
#[allow(clippy::print_stdout, reason = "it is what a benchmark does")]
pub fn line(bench: &str, ratio: f64, more: &[(&str, f64)]) {
    let more: String = more.iter().map(|(name, figure)| format!(", \"{name}\": {figure:.1}")).collect();
    println!("{{\"bench\": \"{bench}\", \"ratio\": {ratio:.3}{more}}}");
}

/// One measured pair: pie and its floor.
#[derive(Debug, Default)]
pub struct Pair {
    pie: Vec<f64>,
    floor: Vec<f64>,
}

impl Pair {
    /// Adds a round: nanoseconds for each operation.
    pub fn round(&mut self, pie: f64, floor: f64) {
        self.pie.push(pie);
        self.floor.push(floor);
    }

    /// Prints the line of this pair.
    #[allow(clippy::print_stdout, reason = "it is what a benchmark does")]
    pub fn print(self, bench: &str, more: &str) {
        let ratios: Vec<f64> = self.pie.iter().zip(&self.floor).map(|(pie, floor)| pie / floor).collect();
        println!(
            "{{\"bench\": \"{bench}\", \"ratio\": {:.3}, \"pie_ns\": {:.1}, \"floor_ns\": {:.1}, \"rounds\": {}{more}}}",
            median(ratios),
            median(self.pie.clone()),
            median(self.floor.clone()),
            self.pie.len(),
        );
    }
}
