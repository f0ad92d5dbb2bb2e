use pie::prelude::*;

#[derive(Model)]
struct User {
    #[pie(id, auto)]
    id: i64,
}

async fn run(url: String) {
    let _ = User::find_by_id(&url, 1).await;
}

fn main() {
    let _ = run;
}
