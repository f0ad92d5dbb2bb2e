//! One process of the history test, in a newer version whose row has one more column: reads and writes rows at random, and notes what it saw and when.
//!
//! `worker <how to reach Redis> <database file> <key prefix> <number of this worker> <workers> <keys> <operations> <output file>`
#![allow(clippy::expect_used, clippy::panic, clippy::unwrap_used, reason = "part of a test")]

#[derive(Debug, Clone, Model)]
#[cached(ttl = "30s", jitter = "10s", tags("rows"))]
struct Row {
    #[pie(id)]
    id: i64,
    version: i64,
    note: Option<String>,
}

include!("../worker.in.rs");
