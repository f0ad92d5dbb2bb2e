//! pie beside what people would pick instead, on the same work, in one run.
//!
//! `peers [redis://host:port]`; prints one JSON object for each figure. Every contestant gives the same values for the same keys,
//! which each pass adds up and compares; and pie is watched: [`validate`] fails the run if a hit was answered without its
//! versions, its deadline or its statistics.
#![allow(clippy::print_stdout, clippy::cast_precision_loss, reason = "figures for people")]

mod contestants;
mod race;
mod scale;

use std::time::{Duration, Instant};

use contestants::{Contestant, Users};

const KEYS: i64 = 10_000;
const HITS: usize = 300_000;
const MISSES: i64 = 10_000;
const ROUNDS: usize = 5;

/// `count` draws of 1 to `keys` by Zipf's law, ranks spread over the keys; the same at each call.
fn zipf(keys: usize, exponent: f64, count: usize) -> Vec<i64> {
    let mut state = 88_172_645_463_325_252_u64;
    let mut random = move || {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        state
    };
    let mut sum = 0.0;
    let below: Vec<f64> = (1..=keys)
        .map(|rank| {
            sum += (rank as f64).powf(-exponent);
            sum
        })
        .collect();
    let mut spread: Vec<i64> = (1..=keys as i64).collect();
    for at in (1..keys).rev() {
        spread.swap(at, (random() % (at as u64 + 1)) as usize);
    }
    (0..count)
        .map(|_| {
            let draw = random() as f64 / u64::MAX as f64 * sum;
            spread[below.partition_point(|below| *below < draw).min(keys - 1)]
        })
        .collect()
}

fn median(mut figures: Vec<f64>) -> f64 {
    figures.sort_by(f64::total_cmp);
    figures[figures.len() / 2]
}

/// Runs a pass of every contestant in each round, and prints the medians beside that of the floor.
fn contest(
    bench: &str,
    floor: &str,
    count: u64,
    contestants: &[Contestant],
    run: impl Fn(&Contestant) -> Duration,
) {
    let mut times: Vec<Vec<f64>> = contestants.iter().map(|_| Vec::new()).collect();
    contestants.iter().for_each(|contestant| _ = run(contestant));
    for _ in 0..ROUNDS {
        for (contestant, times) in contestants.iter().zip(&mut times) {
            times.push(run(contestant).as_nanos() as f64 / count as f64);
        }
    }
    let medians: Vec<f64> = times.into_iter().map(median).collect();
    let at = contestants.iter().position(|contestant| contestant.name == floor).unwrap_or(0);
    for (contestant, ns) in contestants.iter().zip(&medians) {
        let Contestant { name, key, .. } = contestant;
        println!(
            "{{\"bench\": \"peer_{bench}\", \"peer\": \"{name}\", \"key\": \"{key}\", \"ratio\": {:.3}, \"ns\": {ns:.1}}}",
            ns / medians[at]
        );
    }
}

fn pass(contestant: &Contestant, trace: &[i64], sum: i64) -> Duration {
    let start = Instant::now();
    assert_eq!((contestant.sum)(trace), sum, "{} gave other values", contestant.name);
    start.elapsed()
}

fn on_two_threads(work: impl Fn() -> Duration + Sync) -> Duration {
    std::thread::scope(|scope| {
        let threads = [scope.spawn(&work), scope.spawn(&work)];
        threads.into_iter().map(|thread| thread.join().unwrap_or(Duration::MAX)).max().unwrap_or_default()
    })
}

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let url = std::env::args().nth(1);
    let users = Users::new()?;
    users.validate()?;

    let (trace, sum) = {
        let trace = zipf(KEYS as usize, 0.99, HITS);
        let sum = trace.iter().sum();
        (trace, sum)
    };
    let rows = users.rows(url.as_deref())?;
    contest("l1_1t", "mini-moka", HITS as u64, &rows, |one| pass(one, &trace, sum));
    contest("l1_2t", "mini-moka", HITS as u64, &rows, |one| on_two_threads(|| pass(one, &trace, sum)));

    let lists = users.lists()?;
    let hundred = vec![1; 50_000];
    contest("list_1t", "mini-moka", 50_000, &lists, |one| pass(one, &hundred, 100 * 50_000));

    for (name, keys) in [("l1_1k", 1_000), ("l1_1m", 1_000_000)] {
        let trace = zipf(usize::try_from(keys)?, 0.99, HITS);
        let sum = trace.iter().sum();
        let numbers = scale::numbers(keys)?;
        contest(name, "mini-moka", HITS as u64, &numbers, |one| pass(one, &trace, sum));
    }

    // Ids that nobody asked for before.
    let misses = users.misses(url.as_deref())?;
    let next = std::cell::Cell::new(KEYS * 10);
    contest("miss", "mini-moka get, then insert", MISSES as u64, &misses, |one| {
        let first = next.replace(next.get() + MISSES);
        let ids: Vec<i64> = (first..first + MISSES).collect();
        pass(one, &ids, ids.iter().sum())
    });

    if let Some(url) = &url {
        let shared = users.in_redis(url)?;
        let each: Vec<i64> = (1..=contestants::SHARED).collect();
        let sum = each.iter().sum();
        contest("l2_seq", "redis-rs GET + serde_json", each.len() as u64, &shared, |one| {
            pass(one, &each, sum)
        });
        contest("l2_64", "redis-rs GET + serde_json", each.len() as u64 * 16, &shared, |one| {
            let start = Instant::now();
            assert_eq!((one.sum_of_many)(&each), sum * 16, "{} gave other values", one.name);
            start.elapsed()
        });
    }

    for (name, loads, slowest) in users.stampede()? {
        println!(
            "{{\"bench\": \"peer_stampede\", \"peer\": \"{name}\", \"loads\": {loads}, \"ratio\": {slowest:.2}}}"
        );
    }
    for (name, stale) in race::run()? {
        println!(
            "{{\"bench\": \"peer_stale_fill\", \"peer\": \"{name}\", \"stale\": {stale}, \"ratio\": {}}}",
            u8::from(stale)
        );
    }
    Ok(())
}
