//! Structs that are no newtypes.
#[derive(Clone, pie::Value)]
struct Point { //~
    x: i64,
}

#[derive(Clone, pie::Value)]
struct Pair(i64, i64); //~

#[derive(Clone, pie::Value)]
struct Nothing; //~

fn main() {}
