//! Texts for variants.
#[derive(Clone, pie::Value)]
#[pie(rename_all = "snakecase")] //~
enum Case {
    A,
}

#[derive(Clone, pie::Value)]
enum Same {
    #[pie(rename = "b")]
    A,
    #[pie(rename = "b")]
    B, //~
}

#[derive(Clone, pie::Value)]
enum Number {
    #[pie(rename = 1)] //~
    A,
}

#[derive(Clone, pie::Value)]
#[pie(rename_all = "snake_case")] //~
struct Newtype(i64);

fn main() {}
