//! Real processes on one Redis and one SQLite: what each saw, checked against what had been written by then.

use std::path::PathBuf;
use std::process::{Child, Command};

use pie::prelude::*;
use tempfile::TempDir;

use crate::until;

#[derive(Debug, Clone, Model)]
struct Row {
    #[pie(id)]
    id: i64,
    version: i64,
}

const WORKERS: usize = 4;
const KEYS: usize = 1_000;
/// What all names of the processes begin with.
pub const PREFIX: &str = "history:";

/// How the processes reach Redis: `host:port`, `sentinel:<name>:<port>,<port>`, or `cluster:<port>,<port>` on this machine.
#[must_use]
pub fn config(shape: &str) -> pie::RedisConfig {
    let addresses =
        |ports: &str| -> Vec<String> { ports.split(',').map(|port| format!("127.0.0.1:{port}")).collect() };
    match shape.split(':').collect::<Vec<_>>()[..] {
        ["sentinel", master, ports] => pie::RedisConfig::sentinel(master, addresses(ports)),
        ["cluster", ports] => pie::RedisConfig::cluster(addresses(ports)),
        _ => pie::RedisConfig::new(shape),
    }
}

/// Processes that read and write, ended when dropped.
#[derive(Debug)]
pub struct History {
    workers: Vec<Child>,
    outputs: Vec<PathBuf>,
    folder: TempDir,
    /// How many operations each process does at least.
    each: u64,
}

impl Drop for History {
    fn drop(&mut self) {
        for child in &mut self.workers {
            // It may have ended by itself.
            let _ = child.kill();
            let _ = child.wait();
        }
    }
}

/// What is known of one row: its versions, and when each was written and acknowledged.
#[derive(Default)]
struct Known {
    /// When the write returned, and its version, in order.
    returned: Vec<(u128, i64)>,
    /// When its invalidation was acknowledged, at the latest.
    acknowledged: Vec<(u128, i64)>,
}

fn newest(known: &[(u128, i64)], before: u128) -> Option<(u128, i64)> {
    let at = known.partition_point(|(end, _)| *end < before);
    at.checked_sub(1).map(|at| known[at])
}

impl History {
    /// Starts the processes, with the programs at these paths in turn; together they do so many operations, or what
    /// `PIE_HISTORY_OPERATIONS` says, and go on until [`end`](Self::end).
    ///
    /// # Panics
    /// They cannot be started.
    #[allow(clippy::expect_used, reason = "it fails a test")]
    pub async fn start(programs: &[&str], shape: &str, operations: usize) -> Self {
        let wanted = std::env::var("PIE_HISTORY_OPERATIONS").ok().and_then(|n| n.parse().ok());
        let each = wanted.unwrap_or(operations).div_ceil(WORKERS);
        let folder = tempfile::tempdir().expect("a folder");
        let database = folder.path().join("rows.db");
        let engine = Engine::builder()
            .database(format!("sqlite://{}", database.display()))
            .build()
            .await
            .expect("builds");
        engine.create_tables::<(Row,)>().await.expect("creates");
        // What a newer version of the program has.
        engine.sql("ALTER TABLE rows ADD COLUMN note TEXT").execute().await.expect("adds");
        Row::insert_many(&engine, (0..1_000).map(|id| NewRow { id, version: 0 })).await.expect("inserts");
        engine.close().await;
        let outputs: Vec<_> =
            (0..WORKERS).map(|worker| folder.path().join(format!("{worker}.txt"))).collect();
        let spawn = |(number, output): (usize, &PathBuf)| {
            Command::new(programs[number % programs.len()])
                .arg(shape)
                .arg(&database)
                .arg(PREFIX)
                .args([number, WORKERS, KEYS, each].map(|number| number.to_string()))
                .arg(output)
                .spawn()
                .expect("starts")
        };
        let workers = outputs.iter().enumerate().map(spawn).collect();
        let each = each as u64;
        Self { workers, outputs, folder, each }
    }

    /// What each process tells of itself while it runs: how many operations it did, and how many answers it had from Redis.
    fn progress(&self) -> Vec<(u64, u64)> {
        let of = |output: &PathBuf| {
            let text = std::fs::read_to_string(output.with_extension("progress")).ok()?;
            let (done, hits) = text.split_once(' ')?;
            Some((done.parse().ok()?, hits.parse().ok()?))
        };
        self.outputs.iter().map(|output| of(output).unwrap_or_default()).collect()
    }

    /// Whether all processes have done what they were started for.
    #[must_use]
    pub fn is_done(&self) -> bool {
        self.progress().iter().all(|(done, _)| *done >= self.each)
    }

    /// Waits until each process has had more answers from Redis than it has now.
    pub async fn everyone_reads_from_redis(&self) {
        let before = self.progress();
        until("every process reads from Redis", async || {
            self.progress().iter().zip(&before).all(|((_, now), (_, before))| now > before)
        })
        .await;
    }

    /// Tells the processes that they need not do more than they were started for, and waits for them.
    ///
    /// # Panics
    /// One of them failed.
    #[allow(clippy::expect_used, reason = "it fails a test")]
    pub fn end(&mut self) {
        std::fs::write(self.folder.path().join("end"), "").expect("writes");
        for worker in &mut self.workers {
            assert!(worker.wait().expect("ends").success());
        }
    }

    /// Waits for the processes, and checks what they saw.
    ///
    /// # Panics
    /// Something that was seen should not have been.
    pub fn check(self) {
        self.check_with(true);
    }

    /// As [`check`](Self::check), for a time in which there may have been two masters: then what each process sees of its own
    /// writes is checked, and not what it sees of others'.
    ///
    /// # Panics
    /// Something that was seen should not have been.
    pub fn check_own(self) {
        self.check_with(false);
    }

    #[allow(clippy::expect_used, clippy::print_stderr, reason = "it fails a test, and shows figures")]
    fn check_with(mut self, one_master: bool) {
        self.end();
        let outputs = self.outputs.clone();
        let mut known: Vec<Known> = (0..KEYS).map(|_| Known::default()).collect();
        let mut reads = Vec::new();
        let mut from_redis = [0_u64; WORKERS];
        let (mut operations, mut writes) = (0_u64, 0_u64);
        for (worker, output) in outputs.iter().enumerate() {
            for line in std::fs::read_to_string(output).expect("reads").lines() {
                let words: Vec<&str> = line.split(' ').collect();
                let number = |at: usize| words[at].parse::<u128>().expect("a number");
                if words[0] == "s" {
                    eprintln!(
                        "worker {worker}: {} messages, lag at most {} µs, {} µs in the mean, {} detachments, {} gaps, {} hits, {} loads",
                        words[1], words[2], words[3], words[4], words[5], words[6], words[7]
                    );
                    assert_eq!(number(8), 0, "values of worker {worker} that could not be decoded");
                    continue;
                }
                operations += 1;
                let key = usize::try_from(number(1)).expect("small");
                let version = i64::try_from(number(4)).expect("small");
                if words[0] == "w" {
                    writes += 1;
                    known[key].returned.push((number(3), version));
                    if words[5] == "1" {
                        known[key].acknowledged.push((number(3), version));
                    }
                } else {
                    reads.push((worker, key, number(2), version, words[0] == "p", words[5] == "m"));
                    from_redis[worker] += u64::from(words[5] == "r");
                }
            }
        }
        for known in &mut known {
            known.returned.sort_unstable();
            known.acknowledged.sort_unstable();
            assert!(
                known.returned.windows(2).all(|pair| pair[0].1 < pair[1].1),
                "one version after the other"
            );
        }
        let (mut own, mut past, mut worst, mut old) = (0_u64, 0_u64, 0_u128, 0_u64);
        for (worker, key, start, version, past_memory, from_memory) in reads {
            if key % WORKERS == worker
                && let Some((_, due)) = newest(&known[key].returned, start)
            {
                own += 1;
                assert!(version >= due, "G1: worker {worker} wrote {due} of row {key} and read {version}");
            }
            if let Some((when, due)) = newest(&known[key].acknowledged, start) {
                if past_memory {
                    past += 1;
                    assert!(
                        version >= due || !one_master,
                        "G2: {due} of row {key} was acknowledged, worker {worker} read {version}"
                    );
                } else if version < due && from_memory {
                    // G3: until the message arrives.
                    old += 1;
                    let since = known[key].acknowledged.iter().find(|(_, newer)| *newer > version);
                    worst = worst.max(start - since.map_or(when, |(when, _)| *when));
                }
            }
        }
        assert!(own > 0 && past > 0 && writes > 0, "nothing was checked");
        assert!(from_redis.iter().all(|hits| *hits > 0), "hits in Redis: {from_redis:?}");
        eprintln!(
            "history: {operations} operations, {writes} writes, G1 checked {own} times, G2 {past} times; {old} reads from \
             memory were behind another process, by {} µs at most",
            worst / 1_000
        );
    }
}
