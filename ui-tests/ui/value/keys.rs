//! Keys of a column type.
#[derive(Clone, pie::Value)]
#[pie(rename_al = "snake_case")] //~
enum Unknown {
    #[pie(name = "a")] //~
    A,
}

#[derive(Clone, pie::Value)]
#[pie(rename_all = "snake_case", rename_all = "lowercase")] //~
enum Twice {
    #[pie(rename = "a", rename = "b")] //~
    A,
}

fn main() {}
