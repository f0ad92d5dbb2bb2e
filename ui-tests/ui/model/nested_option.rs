//! An `Option` in an `Option`, of which a column has only one.
type Nick = Option<String>;

#[derive(pie::Model)]
struct User {
    #[pie(id)]
    id: i64,
    nick: Option<Option<String>>, //~
    other: Option<Nick>, //~
}

#[derive(Clone, pie::Value)]
struct Maybe(Option<i64>); //~

fn main() {}
