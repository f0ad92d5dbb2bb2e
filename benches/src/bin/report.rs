//! Makes `docs/benchmarks.md` of the lines that the benchmarks left: `report MACHINE FILE.jsonl… > docs/benchmarks.md`.
#![allow(clippy::print_stdout, reason = "it is what it does")]

use std::collections::BTreeMap;
use std::fmt::Write as _;

use serde_json::{Map, Value};

/// What a figure is, its floor, and the ratio it is meant to reach; at least that much where it begins with `≥`.
const FIGURES: [(&str, &str, &str, &str); 18] = [
    ("l1_hit_1t", "hit of `find_by_id` in memory, one thread", "bare mini-moka, ready key", "≤ 0.18"),
    ("l1_hit_2t", "the same on two threads", "bare mini-moka", "≤ 0.18"),
    ("l1_list_1t", "hit of a list of 100 rows", "bare mini-moka, `Arc`", "≤ 0.18"),
    ("l1_fn_1t", "hit of a `#[cached]` function returning `Arc<T>`", "bare mini-moka", "≤ 0.18"),
    ("l2_hit_seq", "row from Redis, one after the other", "redis-rs `GET` and serde_json", "≤ 1.15"),
    ("l2_hit_64", "row from Redis, 64 tasks", "redis-rs `GET` and serde_json", "≤ 1.18"),
    ("l2_many_100", "`find_by_ids` of 100 rows from Redis", "redis-rs `MGET` and serde_json", "≤ 1.3"),
    ("miss_sqlite", "row from SQLite that no layer has", "the plain query of sqlx", "≤ 1.15"),
    ("miss_postgres", "row from PostgreSQL that no layer has", "the plain query of sqlx", "≤ 1.1"),
    ("mem_per_entry", "live heap of an entry, key of 27 bytes, `Arc<u64>`", "bare mini-moka", "≤ 1.5"),
    ("budget_most", "most live heap of rows from 100 bytes to 1 MB", "the byte budget", "≤ 1.1"),
    ("stampede_one_key", "1,000 tasks on one cold key", "the time of the load", "≤ 1.2"),
    ("stampede_1000_keys", "1,000 tasks on 1,000 cold keys", "the time of the load", "≤ 1.2"),
    ("hits_1m_over_1k", "hit with 1,000,000 entries", "with 1,000", "≤ 2.5"),
    ("hits_16_over_3_names", "hit of a value that depends on 16 names", "on 3", "≤ 2"),
    (
        "write_redis",
        "`update_by_id` with Redis",
        "without it, and one `DEL` by redis-rs: one round trip more",
        "≤ 1.25",
    ),
    ("invalidate_1m_over_1k", "a tag of 1,000,000 entries ended", "of 1,000", "≤ 2.5"),
    (
        "hit_ratio_delta",
        "share of hits, the worst trace, in percentage points",
        "bare mini-moka (difference)",
        "≥ -1",
    ),
];

fn text(line: &Map<String, Value>, field: &str) -> String {
    match line.get(field) {
        Some(Value::String(text)) => text.clone(),
        Some(Value::Number(number)) => number.to_string(),
        Some(Value::Bool(yes)) => if *yes { "yes" } else { "no" }.to_owned(),
        _ => "-".to_owned(),
    }
}

/// Whether a ratio reaches what it is meant to.
fn reaches(ratio: f64, goal: &str) -> &'static str {
    let limit = goal.trim_start_matches(['≤', '≥', ' ']).parse::<f64>().unwrap_or(f64::NAN);
    let reached = if goal.starts_with('≥') { ratio >= limit } else { ratio <= limit };
    if reached { "yes" } else { "**no**" }
}

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let mut args = std::env::args().skip(1);
    let machine = args.next().unwrap_or_default();
    let (mut own, mut peers) = (BTreeMap::new(), Vec::new());
    for file in args {
        for line in std::fs::read_to_string(&file)?.lines() {
            let line: Map<String, Value> = serde_json::from_str(line)?;
            let bench = text(&line, "bench");
            match bench.strip_prefix("peer_") {
                Some(bench) => peers.push((bench.to_owned(), line)),
                None => _ = own.insert(bench, line),
            }
        }
    }
    let mut page = String::from(
        "# Benchmarks\n\nMade by `scripts/bench`, which measures everything below in one run and writes this page. Each figure is the \
         median of at least five rounds, as a ratio to a floor that is measured in the same rounds.\n\n",
    );
    writeln!(page, "{machine}\n\n## pie and its floors\n")?;
    writeln!(
        page,
        "| figure | what | beside | ratio | meant to be | reached | pie | floor |\n|---|---|---|---|---|---|---|---|"
    )?;
    let ns = |line: &Map<String, Value>, fields: [&str; 2]| {
        fields
            .iter()
            .find_map(|field| line.get(*field).map(|_| text(line, field)))
            .unwrap_or_else(|| "-".to_owned())
    };
    for (bench, what, floor, goal) in &FIGURES {
        let Some(line) = own.get(*bench) else {
            writeln!(page, "| `{bench}` | {what} | {floor} | not measured | {goal} | | | |")?;
            continue;
        };
        let ratio = line.get("ratio").and_then(Value::as_f64).unwrap_or(f64::NAN);
        let (pie, bare) = (ns(line, ["pie_ns", "pie_bytes"]), ns(line, ["floor_ns", "floor_bytes"]));
        let reached = reaches(ratio, goal);
        writeln!(
            page,
            "| `{bench}` | {what} | {floor} | {ratio:.3} | {goal} | {reached} | {pie} | {bare} |"
        )?;
    }
    let listed = |field: &str| -> String {
        let having = own.iter().filter(|(_, line)| line.contains_key(field));
        let each: Vec<String> =
            having.map(|(bench, line)| format!("`{bench}` {}", text(line, field))).collect();
        each.join(", ")
    };
    let of =
        |field: &str| own.get("hits_1m_over_1k").map_or_else(|| "-".to_owned(), |line| text(line, field));
    writeln!(
        page,
        "\nTimes in nanoseconds for each, sizes in bytes. Allocations of a hit: {}.\n\n\
         What the protocol costs by itself, over the same floor: redis-rs asks for the tokens beside the values in one round trip, as pie \
         does for one reader, for several that read at the same time (`l2_hit_64`) and for the rows of one call, and looks at none of \
         them: {}.\n\n\
         What memory costs by itself (`hits_1m_over_1k`): of an array of pointers, each to a line of memory of its own, one looked up after the other, by the \
         same ids: {} ns with a thousand, {} with a million.\n\n## Hits beside bare mini-moka\n",
        listed("allocs"),
        listed("with_tokens"),
        of("bare_1k_ns"),
        of("bare_1m_ns")
    )?;
    writeln!(page, "| trace, room for | pie, percent | mini-moka, percent |\n|---|---|---|")?;
    for (bench, line) in own.iter().filter(|(bench, _)| bench.starts_with("hit_ratio ")) {
        let trace = bench.trim_start_matches("hit_ratio ");
        writeln!(
            page,
            "| {trace} of the keys | {} | {} |",
            text(line, "pie_percent"),
            text(line, "floor_percent")
        )?;
    }
    writeln!(page, "\n## Beside what people would pick instead\n")?;
    writeln!(
        page,
        "`benches/peers`, a package with a lock file of its own. *ready*: the contestant is handed its key; *built*: it makes \
         it of the id at each read, as pie does. pie's hits have their versions, deadline and statistics checked before the run. `l1_1k` and `l1_1m` are \
         a thousand and a million entries, by integers; the others ten thousand.\n"
    )?;
    let mut last = String::new();
    for (bench, line) in &peers {
        if *bench != last {
            let (head, fields) = match bench.as_str() {
                "stampede" => ("loads | times the load's time |", "|---|---|---|"),
                "stale_fill" => ("serves the old value after its invalidation |", "|---|---|"),
                _ => ("key | ns each | ratio |", "|---|---|---|---|"),
            };
            writeln!(page, "\n### {bench}\n\n| contestant | {head}\n{fields}")?;
            last.clone_from(bench);
        }
        let peer = text(line, "peer");
        match bench.as_str() {
            "stampede" => writeln!(page, "| {peer} | {} | {} |", text(line, "loads"), text(line, "ratio"))?,
            "stale_fill" => writeln!(page, "| {peer} | {} |", text(line, "stale"))?,
            _ => writeln!(
                page,
                "| {peer} | {} | {} | {} |",
                text(line, "key"),
                text(line, "ns"),
                text(line, "ratio")
            )?,
        }
    }
    print!("{page}");
    Ok(())
}
