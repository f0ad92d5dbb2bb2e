//! The examples are in `examples/`: one short program for each idea. Start with `cargo run --example quickstart`.
