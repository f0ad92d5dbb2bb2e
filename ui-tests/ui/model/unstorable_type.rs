#[derive(pie::Model)]
struct User {
    #[pie(id)]
    id: i64,
    address: std::net::IpAddr,
}

fn main() {}
