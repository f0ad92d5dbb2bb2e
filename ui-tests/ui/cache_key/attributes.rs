//! Attributes of an argument, which has none but `crate`.
#[derive(pie::CacheKey)]
#[pie(name = "search")] //~
struct Search {
    #[pie(skip)] //~
    text: String,
    page: u32,
}

#[derive(pie::CacheKey)]
enum Sort {
    #[pie(rename = "a")] //~
    Age,
}

fn main() {}
