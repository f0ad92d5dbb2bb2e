//! Constraints and indexes over fields that they cannot be over.
#[derive(pie::Model)]
#[pie(unique(org_id, slugg), unique(org_id, org_id), unique(org_id, note), unique(org_id, blocks))] //~ 4
#[pie(index(name), index())] //~ 2
struct Page {
    #[pie(id)]
    id: i64,
    org_id: i64,
    slug: String,
    name: String,
    #[pie(skip)]
    note: String,
    #[pie(json)]
    blocks: Vec<String>,
}

fn main() {}
