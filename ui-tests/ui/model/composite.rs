#[derive(pie::Model)]
#[pie(unique(org_id, slugg), index(name), unique(org_id, org_id), index(), unique(org_id, note))]
struct Page {
    #[pie(id)]
    id: i64,
    org_id: i64,
    slug: String,
    name: String,
    #[pie(skip)]
    note: String,
}

fn main() {}
