//! Every generated function on a real database: what it gives, for usual and for odd values.
#![allow(clippy::expect_used, clippy::panic, clippy::unwrap_used, reason = "a test fails by panicking")]

use pie::prelude::*;
use pie::{ErrorKind, Source};
use pie_tests::databases::{Which, sql, which};

#[derive(Debug, Clone, PartialEq, Model)]
#[cached(ttl = "5m", tags("users"))]
struct User {
    #[pie(id, auto)]
    id: i64,
    #[pie(unique)]
    email: String,
    #[pie(index)]
    status: String,
    age: i32,
}

#[derive(Debug, Clone, PartialEq, Model)]
#[pie(table = "memberships", unique(org_id, slug), index(org_id, kind))]
#[cached]
struct Member {
    #[pie(id)]
    org_id: i64,
    #[pie(id)]
    user_id: String,
    slug: String,
    #[pie(column = "type")]
    kind: Option<String>,
    #[pie(skip)]
    note: Vec<u8>,
}

fn user(email: &str, status: &str, age: i32) -> NewUser {
    NewUser { email: email.into(), status: status.into(), age }
}

async fn engine() -> Engine {
    let engine = Engine::builder().database(pie_tests::databases::database()).build().await.expect("builds");
    engine.create_tables::<(User, Member)>().await.expect("creates");
    engine
}

#[tokio::test]
async fn a_row_is_inserted_found_changed_and_deleted() -> pie::Result<()> {
    let engine = engine().await;
    let ann = User::insert(&engine, user("ann@x.org", "active", 31)).await?;
    assert_eq!((ann.id, ann.source()), (1, Source::Database));

    let found = User::find_by_id(&engine, ann.id).await?.expect("is there");
    assert_eq!((&found, found.source()), (&ann, Source::Database));
    let again = User::find_by_id(&engine, ann.id).required().await?;
    assert_eq!((&again, again.source()), (&ann, Source::Memory));
    assert_eq!(User::find_by_email(&engine, "ann@x.org").required().await?, ann);
    assert_eq!(User::list_by_status(&engine, "active").await?.len(), 1);

    let changed = User::update_by_id(&engine, ann.id).status("away").age(32).await?.expect("is there");
    assert_eq!((changed.status.as_str(), changed.age), ("away", 32));
    assert_eq!(User::find_by_id(&engine, ann.id).required().await?, changed);
    assert_eq!(User::find_by_email(&engine, "ann@x.org").required().await?, changed);
    assert!(User::list_by_status(&engine, "active").await?.is_empty());
    assert_eq!(User::list_by_status(&engine, "away").await?.len(), 1);

    assert!(User::delete_by_id(&engine, ann.id).await?);
    assert!(!User::delete_by_id(&engine, ann.id).await?);
    assert!(User::find_by_id(&engine, ann.id).await?.is_none());
    assert!(User::find_by_email(&engine, "ann@x.org").await?.is_none());
    assert!(User::list_by_status(&engine, "away").await?.is_empty());
    assert!(User::update_by_id(&engine, ann.id).age(1).await?.is_none());
    Ok(())
}

#[tokio::test]
async fn an_insert_ends_what_was_cached_as_missing() -> pie::Result<()> {
    let engine = engine().await;
    assert!(User::find_by_id(&engine, 1).await?.is_none());
    assert!(User::find_by_email(&engine, "ann@x.org").await?.is_none());
    assert!(User::list_by_status(&engine, "active").await?.is_empty());
    assert_eq!(User::query(&engine).count().await?, 0);
    assert!(!User::query(&engine).filter(User::AGE.gt(30)).exists().await?);
    User::insert(&engine, user("ann@x.org", "active", 31)).await?;
    assert!(User::find_by_id(&engine, 1).await?.is_some());
    assert!(User::find_by_email(&engine, "ann@x.org").await?.is_some());
    assert_eq!(User::list_by_status(&engine, "active").await?.len(), 1);
    assert_eq!(User::query(&engine).count().await?, 1);
    assert!(User::query(&engine).filter(User::AGE.gt(30)).exists().await?);
    Ok(())
}

#[tokio::test]
async fn queries_filter_sort_and_page() -> pie::Result<()> {
    let engine = engine().await;
    let rows = (0..25).map(|i| user(&format!("u{i:02}@x.org"), if i % 2 == 0 { "even" } else { "odd" }, i));
    assert_eq!(User::insert_many(&engine, rows).await?.len(), 25);

    let page = User::list_by_status(&engine, "even").order_by(User::AGE.desc()).page(2, 5).await?;
    assert_eq!(page.rows.iter().map(|user| user.age).collect::<Vec<_>>(), [14, 12, 10, 8, 6]);
    assert_eq!((page.total, page.pages(), page.number), (13, 3, 2));
    assert!(User::query(&engine).page(9, 5).await?.rows.is_empty());
    assert_eq!(User::query(&engine).page(1, 5).await?.rows.len(), 5);
    for (number, size) in [(0, 5), (1, 0)] {
        let error = User::query(&engine).page(number, size).await.expect_err("refused");
        assert_eq!(error.kind(), ErrorKind::InvalidQuery);
    }

    let some = User::query(&engine)
        .filter(User::AGE.between(3, 8))
        .filter(User::STATUS.eq("odd").or(User::EMAIL.starts_with("u04")))
        .order_by(User::STATUS.asc())
        .order_by(User::AGE.desc())
        .await?;
    assert_eq!(some.iter().map(|user| user.age).collect::<Vec<_>>(), [4, 7, 5, 3]);

    assert!(User::query(&engine).limit(0).await?.is_empty());
    assert_eq!(User::query(&engine).order_by(User::ID.asc()).limit(2).offset(23).await?.len(), 2);
    assert_eq!(User::query(&engine).offset(24).await?.len(), 1);
    assert_eq!(User::query(&engine).limit(u64::MAX).offset(u64::MAX).await?.len(), 0);

    let first = User::query(&engine).order_by(User::AGE.desc()).first().required().await?;
    assert_eq!(first.age, 24);
    assert_eq!(User::query(&engine).filter(User::AGE.eq(7)).one().required().await?.age, 7);
    assert!(User::query(&engine).filter(User::AGE.eq(70)).one().await?.is_none());
    let many = User::query(&engine).one().await.expect_err("several");
    assert_eq!(
        (many.kind(), many.model(), many.query()),
        (ErrorKind::TooManyRows, Some("User"), Some("one"))
    );
    let none = User::find_by_id(&engine, 99).required().await.expect_err("none");
    assert!(none.is_not_found());
    Ok(())
}

#[tokio::test]
async fn rows_by_ids_keep_their_order_and_their_gaps() -> pie::Result<()> {
    let engine = engine().await;
    User::insert_many(&engine, (0..3).map(|i| user(&format!("u{i}"), "x", i))).await?;
    User::find_by_id(&engine, 2).await?;
    let many = User::find_by_ids(&engine, &[3, 9, 2, 3]).await?;
    let ids: Vec<Option<i64>> = many.iter().map(|row| row.as_ref().map(|row| row.id)).collect();
    assert_eq!(ids, [Some(3), None, Some(2), Some(3)]);
    assert_eq!(many[2].as_ref().map(Cached::source), Some(Source::Memory));
    assert_eq!(many[0].as_ref().map(Cached::source), Some(Source::Database));
    assert!(User::find_by_ids(&engine, &[]).await?.is_empty());
    assert_eq!(User::find_by_id(&engine, 3).required().await?.source(), Source::Memory);
    // More ids than one statement binds.
    let ids: Vec<i64> = (0..40_000).collect();
    assert_eq!(User::find_by_ids(&engine, &ids).await?.iter().flatten().count(), 3);
    Ok(())
}

#[tokio::test]
async fn an_upsert_inserts_then_changes_and_invalidates_old_and_new() -> pie::Result<()> {
    let engine = engine().await;
    assert!(User::find_by_email(&engine, "ann@x.org").await?.is_none());
    let first = User::upsert_by_email(&engine, user("ann@x.org", "active", 1)).await?;
    assert_eq!(User::find_by_email(&engine, "ann@x.org").required().await?, first);
    assert_eq!(User::list_by_status(&engine, "active").await?.len(), 1);
    assert!(User::list_by_status(&engine, "away").await?.is_empty());
    let second = User::upsert_by_email(&engine, user("ann@x.org", "away", 2)).await?;
    assert_eq!((second.id, second.age), (first.id, 2));
    assert!(User::list_by_status(&engine, "active").await?.is_empty());
    assert_eq!(User::list_by_status(&engine, "away").await?.len(), 1);
    assert_eq!(User::find_by_id(&engine, first.id).required().await?, second);
    Ok(())
}

#[tokio::test]
async fn writes_by_filter_count_rows_and_invalidate_them() -> pie::Result<()> {
    let engine = engine().await;
    User::insert_many(&engine, (0..10).map(|i| user(&format!("u{i}"), if i < 4 { "new" } else { "old" }, i)))
        .await?;
    assert_eq!(User::list_by_status(&engine, "new").await?.len(), 4);
    assert_eq!(User::list_by_status(&engine, "done").await?.len(), 0);
    assert_eq!(User::find_by_id(&engine, 1).required().await?.status, "new");
    let changed =
        User::query(&engine).filter(User::STATUS.eq("new")).update().set(User::STATUS, "done").await?;
    assert_eq!(changed, 4);
    assert_eq!(User::list_by_status(&engine, "new").await?.len(), 0);
    assert_eq!(User::list_by_status(&engine, "done").await?.len(), 4);
    assert_eq!(User::find_by_id(&engine, 1).required().await?.status, "done");
    assert_eq!(User::list_by_status(&engine, "old").delete().await?, 6);
    assert_eq!(User::list_by_status(&engine, "old").await?.len(), 0);
    assert_eq!(User::query(&engine).count().await?, 4);
    assert_eq!(User::query(&engine).filter(User::AGE.gt(99)).delete().await?, 0);
    let error = User::query(&engine).limit(1).delete().await.expect_err("refused");
    assert_eq!(error.kind(), ErrorKind::InvalidQuery);
    let error = User::update_by_id(&engine, 1).await.expect_err("sets nothing");
    assert_eq!((error.kind(), error.query()), (ErrorKind::InvalidQuery, Some("update_by_id")));
    Ok(())
}

#[tokio::test]
async fn more_than_a_thousand_rows_invalidate_the_families() -> pie::Result<()> {
    let engine = engine().await;
    User::insert_many(&engine, (0..1_500).map(|i| user(&format!("u{i}"), "x", i))).await?;
    assert_eq!(User::list_by_status(&engine, "x").await?.len(), 1_500);
    assert_eq!(User::find_by_email(&engine, "u7").required().await?.age, 7);
    assert_eq!(User::query(&engine).update().set(User::AGE, 1).await?, 1_500);
    assert_eq!(User::find_by_email(&engine, "u7").required().await?.age, 1);
    assert_eq!(User::query(&engine).delete().await?, 1_500);
    assert!(User::list_by_status(&engine, "x").await?.is_empty());
    assert!(User::find_by_email(&engine, "u7").await?.is_none());
    Ok(())
}

#[tokio::test]
async fn composite_ids_and_renamed_columns_work() -> pie::Result<()> {
    let engine = engine().await;
    let new = |user: &str, slug: &str, kind: Option<&str>| NewMember {
        org_id: 1,
        user_id: user.into(),
        slug: slug.into(),
        kind: kind.map(str::to_owned),
    };
    Member::insert(&engine, new("a", "x", None)).await?;
    Member::insert(&engine, new("a,b", "y", Some("admin"))).await?;
    assert_eq!(Member::find_by_id(&engine, 1, "a,b").required().await?.slug, "y");
    assert_eq!(Member::find_by_org_id_and_slug(&engine, 1, "x").required().await?.user_id, "a");
    assert_eq!(Member::list_by_org_id_and_kind(&engine, 1, None).await?.len(), 1);
    assert_eq!(Member::list_by_org_id_and_kind(&engine, 1, "admin").await?.len(), 1);
    let many = Member::find_by_ids(&engine, &[(1, "a".into()), (2, "a".into()), (1, "a,b".into())]).await?;
    assert_eq!(many.iter().map(Option::is_some).collect::<Vec<_>>(), [true, false, true]);
    assert_eq!(many[0].as_ref().map(|row| row.note.len()), Some(0));

    let same = Member::upsert_by_id(&engine, new("a", "z", Some("admin"))).await?;
    assert_eq!(same.slug, "z");
    assert!(Member::find_by_org_id_and_slug(&engine, 1, "x").await?.is_none());
    assert_eq!(Member::list_by_org_id_and_kind(&engine, 1, None).await?.len(), 0);
    assert_eq!(Member::list_by_org_id_and_kind(&engine, 1, "admin").await?.len(), 2);

    if which() == Which::MongoDb {
        let error = Member::update_by_id(&engine, 1, "a").user_id("c").await.expect_err("ids stay");
        assert_eq!((error.kind(), error.column()), (ErrorKind::Unsupported, Some("user_id")));
        return Ok(());
    }
    // The id itself changes: both the old and the new key are invalidated.
    assert!(Member::find_by_id(&engine, 1, "c").await?.is_none());
    Member::update_by_id(&engine, 1, "a").user_id("c").await?;
    assert!(Member::find_by_id(&engine, 1, "a").await?.is_none());
    assert!(Member::find_by_id(&engine, 1, "c").await?.is_some());
    assert_eq!(Member::update_by_id(&engine, 1, "c").kind(None).await?.expect("is there").kind, None);
    Ok(())
}

#[tokio::test]
async fn keys_are_those_that_can_be_deleted() -> pie::Result<()> {
    let engine = engine().await;
    User::insert(&engine, user("a:b*%@x", "s", 1)).await?;
    assert_eq!(User::key_by_id(1), "user:1");
    assert_eq!(User::key_by_email("a:b*%@x"), "user:email:a%3Ab%2A%25%40x");
    assert_eq!(Member::key_by_id(1, "a,b"), "member:1,a%2Cb");
    User::find_by_email(&engine, "a:b*%@x").await?;
    assert_eq!(User::find_by_email(&engine, "a:b*%@x").required().await?.source(), Source::Memory);
    engine.cache().delete(&User::key_by_email("a:b*%@x")).await?;
    assert_eq!(User::find_by_email(&engine, "a:b*%@x").required().await?.source(), Source::Database);
    engine.cache().delete_by_tags(["users"]).await?;
    assert_eq!(User::find_by_email(&engine, "a:b*%@x").required().await?.source(), Source::Database);
    engine.cache().clear().await?;
    assert_eq!(User::find_by_email(&engine, "a:b*%@x").required().await?.source(), Source::Database);
    Ok(())
}

#[tokio::test]
async fn odd_keys_never_meet() -> pie::Result<()> {
    let engine = engine().await;
    let odd = [
        "",
        " ",
        "%",
        "*",
        "a:b",
        "a%3Ab",
        "?",
        "[a]",
        "\\",
        "\u{1F967}",
        "a\nb",
        "A",
        "a",
        "'; DROP TABLE users",
        // Texts of up to 8 bytes have short keys in memory.
        "1234567",
        "12345678",
        "123456789",
        "\u{1F967}\u{1F967}",
    ];
    for (i, email) in odd.iter().enumerate() {
        User::insert(&engine, user(email, "x", i32::try_from(i).expect("small"))).await?;
    }
    for round in 0..2 {
        for (i, email) in odd.iter().enumerate() {
            let found = User::find_by_email(&engine, *email).required().await?;
            assert_eq!((found.age, &found.email.as_str()), (i32::try_from(i).expect("small"), email));
            assert_eq!(found.source(), if round == 0 { Source::Database } else { Source::Memory });
        }
    }
    // MariaDB takes packets of 16 MB unless told otherwise, and a text is in a question twice.
    let takes_long_keys = matches!(which(), Which::Sqlite | Which::MongoDb);
    let long = "\u{1F967}".repeat(if takes_long_keys { 2_500_000 } else { 250_000 });
    let inserted = User::insert(&engine, user(&long, "long", 1)).await;
    if takes_long_keys {
        inserted?;
        assert_eq!(User::find_by_email(&engine, &long).required().await?.email.len(), 10_000_000);
    } else {
        // More than a key of an index may have.
        assert_eq!(inserted.expect_err("too long").kind(), ErrorKind::InvalidValue);
    }
    assert_eq!(User::find_by_email(&engine, &long[4..]).await?, None);
    for id in [0, -1, i64::MIN, i64::MAX] {
        assert!(User::find_by_id(&engine, id).await?.is_none());
        assert!(User::update_by_id(&engine, id).age(1).await?.is_none());
    }
    Ok(())
}

#[tokio::test]
async fn raw_statements_become_models_and_tuples() -> pie::Result<()> {
    if !which().speaks_sql() {
        // `documents.rs` has its commands.
        return Ok(());
    }
    let engine = engine().await;
    User::insert_many(&engine, [user("a", "x", 1), user("b", "x", 2), user("c", "y", 3)]).await?;
    let users: Vec<User> = engine
        .sql(&sql("SELECT age, email, status, id, 1 AS more FROM users WHERE status = ? ORDER BY id"))
        .bind("x")
        .all()
        .await?;
    assert_eq!(users.iter().map(|user| user.email.as_str()).collect::<Vec<_>>(), ["a", "b"]);
    let groups: Vec<(String, i64)> =
        engine.sql("SELECT status, COUNT(*) FROM users GROUP BY status ORDER BY status").all().await?;
    assert_eq!(groups, [("x".to_owned(), 2), ("y".to_owned(), 1)]);
    let one: Option<(i64,)> =
        engine.sql(&sql("SELECT SUM(age) FROM users WHERE age > ?")).bind(1).one().await?;
    assert_eq!(one, Some((5,)));

    assert_eq!(User::find_by_id(&engine, 1).required().await?.age, 1);
    assert_eq!(engine.sql(&sql("UPDATE users SET age = age + ?")).bind(10).execute().await?, 3);
    assert_eq!(User::find_by_id(&engine, 1).required().await?.age, 11, "a raw write ends what was cached");

    let error = engine.sql("SELECT id FROM users").all::<User>().await.expect_err("too few columns");
    assert_eq!((error.kind(), error.column()), (ErrorKind::MissingColumn, Some("email")));
    let error = engine.sql("SELECT id FROM users").all::<(i64, i64)>().await.expect_err("too few columns");
    assert_eq!(error.kind(), ErrorKind::MissingColumn);
    let error = engine.sql("SELECT email FROM users").all::<(i64,)>().await.expect_err("text");
    assert_eq!((error.kind(), error.column()), (ErrorKind::TypeMismatch, Some("email")));
    let error = engine.sql("SELEC 1").execute().await.expect_err("no SQL");
    assert_eq!((error.kind(), error.query()), (ErrorKind::Database, Some("sql")));
    Ok(())
}

#[tokio::test]
async fn scopes_never_meet() -> pie::Result<()> {
    let engine = engine().await;
    User::insert(&engine, user("ann", "x", 1)).await?;
    let (a, b) = (engine.scoped("tenant:1"), engine.scoped("tenant:2"));
    for handle in [&engine, &a, &b, &a.scoped("x")] {
        assert_eq!(User::find_by_id(handle, 1).required().await?.source(), Source::Database);
        assert_eq!(User::find_by_id(handle, 1).required().await?.source(), Source::Memory);
    }
    a.cache().clear().await?;
    assert_eq!(User::find_by_id(&b, 1).required().await?.source(), Source::Memory);
    assert_eq!(User::find_by_id(&a, 1).required().await?.source(), Source::Database);
    engine.cache().clear().await?;
    assert_eq!(User::find_by_id(&b, 1).required().await?.source(), Source::Database, "the whole namespace");
    User::update_by_id(&a, 1).age(2).await?;
    assert_eq!(User::find_by_id(&a, 1).required().await?.age, 2);
    Ok(())
}

#[tokio::test]
async fn a_closed_engine_says_so() -> pie::Result<()> {
    let engine = engine().await;
    User::insert(&engine, user("ann", "x", 1)).await?;
    User::find_by_id(&engine, 1).await?;
    assert_eq!(User::find_by_id(&engine, 1).required().await?.source(), Source::Memory);
    engine.close().await;
    engine.close().await;
    assert_eq!(User::find_by_id(&engine, 1).await.expect_err("closed").kind(), ErrorKind::Closed);
    assert_eq!(User::insert(&engine, user("a", "x", 1)).await.expect_err("closed").kind(), ErrorKind::Closed);
    assert_eq!(engine.sql("SELECT 1").execute().await.expect_err("closed").kind(), ErrorKind::Closed);
    assert_eq!(engine.begin().await.expect_err("closed").kind(), ErrorKind::Closed);
    Ok(())
}

#[tokio::test]
async fn like_is_a_pattern_and_the_others_are_not() -> pie::Result<()> {
    let engine = engine().await;
    let emails = ["ann@x.org", "Anna@x.org", "a%b", "a_b", "axb", "\\"];
    User::insert_many(&engine, emails.map(|email| user(email, "x", 1))).await?;
    let found = async |filter: pie::Filter<User>| -> pie::Result<Vec<String>> {
        let rows = User::query(&engine).filter(filter).order_by(User::ID.asc()).await?;
        Ok(rows.iter().map(|user| user.email.clone()).collect())
    };
    let ann = found(User::EMAIL.like("ann%")).await?;
    match which() {
        Which::Sqlite => assert_eq!(ann, ["ann@x.org", "Anna@x.org"], "ASCII letters of both cases"),
        _ => assert_eq!(ann, ["ann@x.org"]),
    }
    assert_eq!(found(User::EMAIL.like("a_b")).await?, ["a%b", "a_b", "axb"]);
    assert_eq!(found(User::EMAIL.like("a\\_b")).await?, ["a_b"]);
    assert_eq!(found(User::EMAIL.like("\\\\")).await?, ["\\"]);
    assert_eq!(found(User::EMAIL.starts_with("ann")).await?, ["ann@x.org"]);
    assert_eq!(found(User::EMAIL.contains("_")).await?, ["a_b"]);
    assert_eq!(found(User::EMAIL.ends_with("%b")).await?, ["a%b"]);
    let rest = found(!User::EMAIL.like("a%")).await?;
    match which() {
        Which::Sqlite => assert_eq!(rest, ["\\"]),
        _ => assert_eq!(rest, ["Anna@x.org", "\\"]),
    }
    Ok(())
}

#[tokio::test]
async fn a_pool_of_ones_own_works_as_well() -> pie::Result<()> {
    if which() != Which::Sqlite {
        return Ok(());
    }
    let folder = tempfile::tempdir().expect("a folder");
    let options = sqlx::sqlite::SqliteConnectOptions::new()
        .filename(folder.path().join("own.db"))
        .create_if_missing(true);
    let pool = sqlx::SqlitePool::connect_with(options).await.expect("connects");
    let engine = Engine::builder().database(pool.clone()).build().await?;
    engine.create_tables::<(User,)>().await?;
    User::insert(&engine, user("ann", "x", 1)).await?;
    let row: (i64, String) =
        sqlx::query_as("SELECT id, email FROM users").fetch_one(&pool).await.expect("reads");
    assert_eq!(row, (1, "ann".to_owned()));
    // What others write, pie does not know, until it is told.
    User::find_by_id(&engine, 1).await?;
    sqlx::query("UPDATE users SET age = 2").execute(&pool).await.expect("writes");
    assert_eq!(User::find_by_id(&engine, 1).required().await?.age, 1);
    engine.cache().delete(&User::key_by_id(1)).await?;
    assert_eq!(User::find_by_id(&engine, 1).required().await?.age, 2);
    Ok(())
}

#[tokio::test]
async fn plain_sqlx_reads_rows_of_a_model() -> pie::Result<()> {
    if !which().speaks_sql() {
        return Ok(());
    }
    let fresh = pie_tests::databases::concurrent_database();
    let url = fresh.url().await;
    let engine = Engine::builder().database(url.as_str()).build().await?;
    engine.create_tables::<(User, Member)>().await?;
    User::insert_many(&engine, [user("ann", "x", 1), user("bob", "y", 2)]).await?;
    let slug = NewMember { org_id: 1, user_id: "u".into(), slug: "s".into(), kind: None };
    let member = Member::insert(&engine, slug).await?.into_owned();
    // In any order, with more columns than the model has.
    let (text, missing) =
        ("SELECT 7 AS more, status, email, age, id FROM users ORDER BY id", "SELECT id, email FROM users");
    let (users, member_again, error): (Vec<User>, Member, _) = match which() {
        Which::Sqlite => {
            let pool = sqlx::SqlitePool::connect(&url).await.expect("connects");
            let users = sqlx::query_as(text).fetch_all(&pool).await.expect("reads");
            let members = sqlx::query_as("SELECT * FROM memberships").fetch_one(&pool).await.expect("reads");
            (users, members, sqlx::query_as::<_, User>(missing).fetch_one(&pool).await)
        }
        Which::Postgres => {
            let pool = sqlx::PgPool::connect(&url).await.expect("connects");
            let users = sqlx::query_as(text).fetch_all(&pool).await.expect("reads");
            let members = sqlx::query_as("SELECT * FROM memberships").fetch_one(&pool).await.expect("reads");
            (users, members, sqlx::query_as::<_, User>(missing).fetch_one(&pool).await)
        }
        Which::MariaDb | Which::MySql => {
            let pool = sqlx::MySqlPool::connect(&url).await.expect("connects");
            let users = sqlx::query_as(text).fetch_all(&pool).await.expect("reads");
            let members = sqlx::query_as("SELECT * FROM memberships").fetch_one(&pool).await.expect("reads");
            (users, members, sqlx::query_as::<_, User>(missing).fetch_one(&pool).await)
        }
        Which::MongoDb => unreachable!("it speaks no SQL"),
    };
    assert_eq!(users, User::query(&engine).order_by(User::ID.asc()).await?[..]);
    assert_eq!(member_again, member);
    assert!(matches!(error, Err(sqlx::Error::ColumnNotFound(name)) if name == "status"));
    Ok(())
}
