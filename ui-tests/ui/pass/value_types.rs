//! Column types of one's own.
use pie::{Value, prelude::*};

#[derive(Debug, Clone, Copy, PartialEq, Value)]
#[pie(rename_all = "SCREAMING_SNAKE_CASE")]
enum r#Status {
    Active,
    OnHold,
    #[pie(rename = "removed")]
    Gone,
}

#[derive(Debug, Clone, Copy, PartialEq, Value)]
struct UserId(i64);

#[derive(Debug, Clone, PartialEq, Value)]
struct Email(String);

#[derive(Model)]
struct User {
    #[pie(id, auto)]
    id: UserId,
    #[pie(unique)]
    email: Option<Email>,
    #[pie(index)]
    status: Status,
}

async fn run(engine: &Engine) -> pie::Result<()> {
    let new = NewUser { email: Some(Email(String::new())), status: Status::OnHold };
    let user = User::insert(engine, new).await?;
    User::find_by_id(engine, user.id).await?;
    User::find_by_email(engine, Email("a".to_owned())).await?;
    User::list_by_status(engine, Status::Gone).await?;
    User::query(engine).filter(User::STATUS.in_([Status::Active, Status::Gone])).await?;
    User::update_by_id(engine, user.id).email(None).await?;
    Ok(())
}

fn main() {
    let _ = run;
}
