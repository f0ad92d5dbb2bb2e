//! `auto` on an id that no database counts up.
#[derive(pie::Model)]
struct Text {
    #[pie(id, auto)]
    id: String, //~
}

#[derive(pie::Model)]
struct Maybe {
    #[pie(id, auto)]
    id: Option<i64>, //~
}

fn main() {}
