//! The examples are in `examples/`: one short program for each idea. Start with `cargo run --example quickstart`.
//!
//! All of them take `-- --database postgres://…` (or `mysql://…`, `mongodb://…`, `sqlite://…`); without it they use SQLite in memory.

/// The value behind an option of the command line: `--database URL`.
#[must_use]
pub fn option(name: &str) -> Option<String> {
    std::env::args().skip_while(|argument| argument != name).nth(1)
}

/// The URL behind `--database`, or SQLite in memory.
#[must_use]
pub fn database() -> String {
    option("--database").unwrap_or_else(|| "sqlite::memory:".to_owned())
}
