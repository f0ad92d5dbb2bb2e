//! What `explain` says of reads and models, and that it is true.
#![allow(clippy::expect_used, clippy::panic, clippy::unwrap_used, reason = "a test fails by panicking")]

use std::time::Duration;

use pie::prelude::*;
use pie::query::{EndedBy, Explanation};
use pie::{assert_loads, testing};

#[derive(Debug, Clone, PartialEq, Model)]
#[cached(ttl = "5m", tags("people"))]
#[pie(unique(org, nick), index(org, status), touches(Order))]
struct User {
    #[pie(id, auto)]
    id: i64,
    #[pie(unique)]
    email: String,
    #[pie(index, column = "state")]
    status: String,
    org: i64,
    nick: Option<String>,
}

#[derive(Debug, Clone, PartialEq, Model)]
#[pie(invalidate = "manual")]
struct Order {
    #[pie(id)]
    id: i64,
}

async fn engine() -> Engine {
    let builder = Engine::builder().database("sqlite::memory:").config(testing::config());
    let engine = builder.build().await.expect("builds");
    engine.create_tables::<(User, Order)>().await.expect("creates");
    engine
}

fn stamps(explanation: &Explanation) -> Vec<&str> {
    explanation.depends.iter().map(|on| &*on.stamp).collect()
}

#[tokio::test]
async fn a_read_says_its_key_and_what_it_depends_on() -> pie::Result<()> {
    let engine = engine().await;
    let row = User::find_by_org_and_nick(&engine, 7, "ann").explain()?;
    assert_eq!(
        (row.model, &*row.query, &*row.key),
        ("User", "find_by_org_and_nick", "user:org_and_nick:7,ann")
    );
    assert_eq!((row.ttl, row.uncached), (Duration::from_secs(300), None));
    assert_eq!(stamps(&row), ["k:user:org_and_nick:7,ann", "f:user", "t:people", "n"]);
    assert_eq!(row.depends[0].ended_by, EndedBy::Row { columns: vec!["org", "nick"] });

    let list =
        User::list_by_status(&engine, "live").order_by(User::ID.asc()).limit(5).tags(["front"]).explain()?;
    assert_eq!(stamps(&list)[1..], ["f:users", "i:users.state=live", "t:people", "t:front", "n"]);
    assert_eq!(list.depends[0].ended_by, EndedBy::Key);
    assert_eq!(list.depends[2].ended_by, EndedBy::Values { table: "users", columns: vec!["state"] });
    let text = list.to_string();
    for part in
        ["User::list_by_status", "for 5m", "had, this state", "delete_by_tags([\"front\"])", "users:*"]
    {
        assert!(text.contains(part), "{part}: {text}");
    }

    let both =
        User::query(&engine).filter(User::ORG.eq(1).and(User::STATUS.in_(["a", "b"]))).count().explain()?;
    assert_eq!(stamps(&both)[2..4], ["i:users.org+state=1,a", "i:users.org+state=1,b"]);
    let any = User::query(&engine).filter(User::ID.gt(3)).exists().explain()?;
    assert_eq!(any.depends[2].ended_by, EndedBy::Table { table: "users" });
    Ok(())
}

#[tokio::test]
async fn a_read_that_is_not_cached_says_why() -> pie::Result<()> {
    let engine = engine().await;
    let why = |explanation: Explanation| {
        let text = explanation.to_string();
        let why = explanation.uncached.expect("not cached");
        assert!(text.contains(&format!("not cached: {why}")), "{text}");
        why
    };
    assert!(why(Order::find_by_id(&engine, 1).explain()?).contains("#[cached]"));
    assert!(why(User::find_by_id(&engine, 1).no_cache().explain()?).contains("no_cache"));
    let tx = engine.begin().await?;
    assert!(why(User::find_by_id(&tx, 1).explain()?).contains("transaction"));
    tx.rollback().await?;
    engine.cache().disable();
    assert!(why(User::find_by_id(&engine, 1).explain()?).contains("switched off"));
    assert_eq!(engine.statements(), 0, "nothing was run");
    Ok(())
}

#[tokio::test]
async fn a_model_says_what_its_writes_end() {
    let user = User::explain();
    let functions: Vec<&str> = user.reads.iter().map(|read| &*read.function).collect();
    let expected = [
        "find_by_ids",
        "find_by_id",
        "find_by_email",
        "find_by_org_and_nick",
        "list_by_status",
        "list_by_org_and_status",
        "query",
    ];
    assert_eq!(functions, expected);
    let ends = [
        "k:user:…",
        "k:user:email:…",
        "k:user:org_and_nick:…",
        "i:users.state=…",
        "i:users.org+state=…",
        "w:users",
    ];
    assert_eq!(user.write_ends, ends);
    assert_eq!((user.touches, user.manual), (vec!["Order"], false));
    let text = User::explain().to_string();
    assert!(text.contains("and everything of `Order`") && text.contains("list_by_org_and_status"), "{text}");
    assert!(Order::explain().manual && Order::explain().to_string().contains("the program does"));
}

/// The stamps of a row, as the explanation of the model names them.
fn stamps_of(user: &User) -> Vec<String> {
    let nick = user.nick.clone().map_or("%-".to_owned(), |nick| format!("%+{nick}"));
    vec![
        format!("k:user:{}", user.id),
        format!("k:user:email:{}", user.email),
        format!("k:user:org_and_nick:{},{}", user.org, nick.trim_start_matches("%+")),
        format!("i:users.state={}", user.status),
        format!("i:users.org+state={},{}", user.org, user.status),
        "w:users".to_owned(),
    ]
}

#[tokio::test]
async fn a_read_is_loaded_anew_after_a_write_if_and_only_if_it_says_so() -> pie::Result<()> {
    let engine = engine().await;
    let new = |email: &str, status: &str, org, nick: Option<&str>| NewUser {
        email: email.into(),
        status: status.into(),
        org,
        nick: nick.map(str::to_owned),
    };
    let mut rows = Vec::new();
    for (email, status, org, nick) in
        [("a", "x", 1, Some("n")), ("b", "y", 1, None), ("c", "x", 2, Some("m"))]
    {
        rows.push(User::insert(&engine, new(email, status, org, nick)).await?.into_owned());
    }
    macro_rules! reads {
        ($check:ident, $touched:expr) => {
            $check!(User::find_by_id(&engine, 1), $touched);
            $check!(User::find_by_id(&engine, 2), $touched);
            $check!(User::find_by_id(&engine, 99), $touched);
            $check!(User::find_by_email(&engine, "a"), $touched);
            $check!(User::find_by_email(&engine, "z"), $touched);
            $check!(User::find_by_org_and_nick(&engine, 1, "n"), $touched);
            $check!(User::find_by_org_and_nick(&engine, 2, "m"), $touched);
            $check!(User::list_by_status(&engine, "x"), $touched);
            $check!(User::list_by_status(&engine, "y").count(), $touched);
            $check!(User::list_by_org_and_status(&engine, 1, "x").exists(), $touched);
            $check!(User::list_by_org_and_status(&engine, 2, "y").limit(3), $touched);
            $check!(User::query(&engine).filter(User::STATUS.in_(["x", "z"])), $touched);
            $check!(User::query(&engine).filter(User::ID.gt(1)).page(1, 2), $touched);
        };
    }
    macro_rules! fill {
        ($query:expr, $touched:expr) => {
            $query.await?
        };
    }
    macro_rules! agrees {
        ($query:expr, $touched:expr) => {{
            let explanation = $query.explain()?;
            let touched: &Vec<String> = $touched;
            let ended = explanation.depends.iter().any(|on| touched.contains(&on.stamp));
            let before = engine.cache().stats().loads;
            $query.await?;
            let loaded = engine.cache().stats().loads > before;
            assert_eq!(loaded, ended, "{explanation}after {touched:?}");
        }};
    }
    let touched_by = |old: Option<&User>, new: Option<&User>| -> Vec<String> {
        old.into_iter().chain(new).flat_map(stamps_of).collect()
    };
    let nothing = Vec::new();
    reads!(fill, &nothing);
    reads!(agrees, &nothing);

    let changed = User::update_by_id(&engine, 1).status("y").await?.expect("it is there").into_owned();
    reads!(agrees, &touched_by(Some(&rows[0]), Some(&changed)));
    let renamed =
        User::update_by_id(&engine, 3).email("z").nick("n").await?.expect("it is there").into_owned();
    reads!(agrees, &touched_by(Some(&rows[2]), Some(&renamed)));
    let inserted = User::insert(&engine, new("q", "x", 2, Some("k"))).await?.into_owned();
    reads!(agrees, &touched_by(None, Some(&inserted)));
    User::delete_by_id(&engine, 2).await?;
    reads!(agrees, &touched_by(Some(&rows[1]), None));
    assert_loads!(engine, 0, User::update_by_id(&engine, 77).status("x").await?);
    reads!(agrees, &nothing);
    Ok(())
}
