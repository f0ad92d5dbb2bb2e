//! Fields and newtypes of types that are no columns.
#[derive(pie::Model)]
struct User {
    #[pie(id)]
    id: i64,
    address: std::net::IpAddr, //~
    other: Option<std::time::Duration>, //~
}

#[derive(Clone, pie::Value)]
struct Address(std::net::IpAddr); //~

fn main() {}
