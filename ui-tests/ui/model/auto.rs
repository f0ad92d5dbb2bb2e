#[derive(pie::Model)]
struct Composite {
    #[pie(id, auto)]
    org_id: i64,
    #[pie(id)]
    user_id: i64,
}

#[derive(pie::Model)]
struct NotTheId {
    #[pie(id)]
    id: i64,
    #[pie(auto)]
    counter: i64,
}

#[derive(pie::Model)]
struct Text {
    #[pie(id, auto)]
    id: String,
}

fn main() {}
