//! Bad input: each mistake has a typed error that names model, column and query, and no value and no password.
#![allow(clippy::expect_used, clippy::panic, clippy::unwrap_used, reason = "a test fails by panicking")]

use pie::prelude::*;
use pie::{CacheConfig, ErrorKind, RedisConfig};
use pie_tests::databases::{self, Which, which};

#[derive(Debug, Clone, PartialEq, Model)]
#[cached(ttl = "5m")]
struct User {
    #[pie(id, auto)]
    id: i64,
    #[pie(unique)]
    email: String,
    age: i32,
}

#[derive(Debug, Clone, PartialEq, Model)]
#[pie(unique(org, slug))]
struct Page {
    #[pie(id)]
    id: i64,
    org: i64,
    slug: String,
}

async fn engine() -> Engine {
    Engine::builder().database(databases::database()).build().await.expect("builds")
}

async fn refused(url: &str) -> pie::Error {
    Engine::builder().database(url).build().await.expect_err(url)
}

#[tokio::test]
async fn urls_that_cannot_be_used_are_named_without_their_secrets() {
    for (url, kind) in [
        ("oracle://scott:tiger@host/db", ErrorKind::InvalidConfig),
        ("users.db", ErrorKind::InvalidConfig),
        ("", ErrorKind::InvalidConfig),
        ("tiger secret:x", ErrorKind::InvalidConfig),
        ("sqlite://x.db?mode=tiger", ErrorKind::InvalidConfig),
        ("sqlite:///no/such/folder/tiger/x.db", ErrorKind::Connection),
        ("sqlite://missing.db?mode=rw", ErrorKind::Connection),
    ] {
        let error = refused(url).await;
        assert_eq!(error.kind(), kind, "{url}: {error}");
        assert!(!format!("{error} {error:?}").contains("tiger"), "{error:?}");
    }
    let error = Engine::builder().build().await.expect_err("no database");
    assert!(error.to_string().contains("no database"), "{error}");
    let error = Engine::builder()
        .database("sqlite::memory:")
        .redis("http://host")
        .build()
        .await
        .expect_err("no Redis url");
    assert_eq!(error.kind(), ErrorKind::InvalidConfig);
    let pool = RedisConfig::new("host:1").pool_size(0);
    let error = Engine::builder().database("sqlite::memory:").redis(pool).build().await.expect_err("no pool");
    assert_eq!(error.kind(), ErrorKind::InvalidConfig);
    for prefix in ["a*", "a~b", "[x]", "a\n"] {
        let config = CacheConfig { key_prefix: prefix.into(), ..CacheConfig::default() };
        let error =
            Engine::builder().database("sqlite::memory:").config(config).build().await.expect_err(prefix);
        assert_eq!(error.kind(), ErrorKind::InvalidConfig);
    }
}

#[tokio::test]
async fn a_file_that_is_no_database_is_told() {
    let file = tempfile::NamedTempFile::new().expect("a file");
    std::fs::write(
        file.path(),
        "this is not a database, it is a text of some length, long enough to look like one. ".repeat(20),
    )
    .expect("writes");
    let error = refused(&format!("sqlite://{}", file.path().display())).await;
    assert_eq!(error.kind(), ErrorKind::Connection, "{error}");
}

#[tokio::test]
async fn missing_tables_and_columns_are_named() -> pie::Result<()> {
    let engine = engine().await;
    if !which().speaks_sql() {
        // A collection that is not there is an empty one, and comes into being with its first document.
        assert!(User::find_by_id(&engine, 1).await?.is_none());
        assert_eq!(User::query(&engine).count().await?, 0);
        assert_eq!(User::insert(&engine, NewUser { email: "a".into(), age: 1 }).await?.id, 1);
        return Ok(());
    }
    for error in [
        User::find_by_id(&engine, 1).await.expect_err("no table"),
        User::query(&engine).count().await.expect_err("no table"),
        User::insert(&engine, NewUser { email: "a".into(), age: 1 }).await.expect_err("no table"),
    ] {
        assert_eq!((error.kind(), error.model()), (ErrorKind::MissingTable, Some("User")), "{error}");
        assert!(error.to_string().contains("`users`"), "{error}");
    }
    assert_eq!(User::find_by_id(&engine, 1).await.expect_err("no table").query(), Some("find_by_id"));
    engine.sql("CREATE TABLE users (id INTEGER PRIMARY KEY, email VARCHAR(50) NOT NULL)").execute().await?;
    for error in [
        User::find_by_email(&engine, "tiger").await.expect_err("no column"),
        User::insert(&engine, NewUser { email: "tiger".into(), age: 1 }).await.expect_err("no column"),
        User::update_by_id(&engine, 1).age(1).await.expect_err("no column"),
    ] {
        assert_eq!((error.kind(), error.column()), (ErrorKind::MissingColumn, Some("age")), "{error:?}");
        assert!(!format!("{error} {error:?}").contains("tiger"));
    }
    Ok(())
}

#[tokio::test]
async fn columns_with_something_else_in_them_are_named() -> pie::Result<()> {
    if which() != Which::Sqlite {
        // Their columns hold one type only: `servers.rs` has tables with others.
        return Ok(());
    }
    let engine = engine().await;
    engine.sql("CREATE TABLE users (id INTEGER PRIMARY KEY, email TEXT, age)").execute().await?;
    let cases = [
        ("('a', 'tiger')", ErrorKind::TypeMismatch, "age"),
        ("('a', 1.5)", ErrorKind::TypeMismatch, "age"),
        ("('a', NULL)", ErrorKind::NullValue, "age"),
        ("(NULL, 1)", ErrorKind::NullValue, "email"),
        ("('a', 99999999999)", ErrorKind::Decode, "age"),
        ("(x'00ff', 1)", ErrorKind::TypeMismatch, "email"),
        ("(CAST(x'ff' AS TEXT), 1)", ErrorKind::Decode, "email"),
    ];
    for (i, (values, kind, column)) in (1_i64..).zip(cases) {
        engine.sql(&format!("INSERT INTO users (email, age) VALUES {values}")).execute().await?;
        for _ in 0..2 {
            let error = User::find_by_id(&engine, i).await.expect_err(values);
            assert_eq!((error.kind(), error.column()), (kind, Some(column)), "{values}: {error:?}");
            assert_eq!((error.model(), error.query()), (Some("User"), Some("find_by_id")));
            assert!(!format!("{error} {error:?}").contains("tiger"));
        }
    }
    // What cannot be read can be deleted all the same, and everything that might hold it is dropped.
    assert!(User::delete_by_id(&engine, 1).await?);
    assert!(User::find_by_id(&engine, 1).await?.is_none());
    // Also when what comes back with the write cannot be read at all: it is done, whatever the answer says.
    let count = async || User::query(&engine).count().await;
    let before = count().await?;
    let _ = User::delete_by_id(&engine, 7).await;
    assert_eq!(count().await?, User::query(&engine).count().no_cache().await?, "{before} before");
    Ok(())
}

#[tokio::test]
async fn constraints_have_kinds_of_their_own() -> pie::Result<()> {
    let engine = engine().await;
    engine.create_tables::<(User, Page)>().await?;
    let tiger = || NewUser { email: "tiger".into(), age: 1 };
    User::insert(&engine, tiger()).await?;
    let error = User::insert(&engine, tiger()).await.expect_err("twice");
    assert_eq!(
        (error.kind(), error.column(), error.model(), error.query()),
        (ErrorKind::UniqueViolation, Some("email"), Some("User"), Some("insert"))
    );
    assert!(!format!("{error} {error:?}").contains("tiger"));
    let new = |id, slug: &str| NewPage { id, org: 1, slug: slug.into() };
    Page::insert_many(&engine, [new(1, "a"), new(2, "b")]).await?;
    let error = Page::insert(&engine, new(3, "a")).await.expect_err("twice");
    assert_eq!((error.kind(), error.column()), (ErrorKind::UniqueViolation, Some("org, slug")));
    let error = Page::update_by_id(&engine, 2).id(1).await.expect_err("twice");
    if which().speaks_sql() {
        assert_eq!((error.kind(), error.column()), (ErrorKind::UniqueViolation, Some("id")));
    } else {
        assert_eq!((error.kind(), error.column()), (ErrorKind::Unsupported, Some("id")));
        let error = Page::insert(&engine, new(2, "e")).await.expect_err("twice");
        assert_eq!((error.kind(), error.column()), (ErrorKind::UniqueViolation, Some("id")));
    }
    let error = Page::insert_many(&engine, [new(4, "d"), new(1, "e")]).await.expect_err("twice");
    assert_eq!(error.kind(), ErrorKind::UniqueViolation);
    if !databases::transactions() {
        assert!(error.to_string().contains("the first of 2 rows was inserted"), "{error}");
        assert_eq!(Page::query(&engine).count().await?, 3, "what came before the one that was refused");
        return Ok(());
    }
    assert_eq!(Page::query(&engine).count().await?, 2, "all or none");
    if !which().speaks_sql() {
        return Ok(());
    }

    let posts = "CREATE TABLE posts (id INTEGER PRIMARY KEY, user_id BIGINT, n INTEGER CHECK (n > 0), \
                 FOREIGN KEY (user_id) REFERENCES users (id))";
    engine.sql(posts).execute().await?;
    for (values, kind) in
        [("(1, 99, 1)", ErrorKind::ForeignKeyViolation), ("(1, 1, 0)", ErrorKind::CheckViolation)]
    {
        let error =
            engine.sql(&format!("INSERT INTO posts VALUES {values}")).execute().await.expect_err(values);
        assert_eq!(error.kind(), kind);
    }
    Ok(())
}

#[tokio::test]
async fn queries_that_are_too_large_are_refused() -> pie::Result<()> {
    let engine = engine().await;
    engine.create_tables::<(User,)>().await?;
    let many = User::query(&engine).filter(User::ID.in_(0..70_000_i64)).await;
    if which().speaks_sql() {
        assert_eq!(many.expect_err("too many values").kind(), ErrorKind::InvalidQuery);
    } else {
        assert!(many?.is_empty(), "there a call is limited in bytes");
    }
    let chain = |length: i32| {
        (0..length).fold(User::ID.eq(0), |filter, i| {
            let one = User::AGE.eq(i);
            if i % 2 == 0 { filter.and(one) } else { filter.or(one) }
        })
    };
    assert_eq!(User::query(&engine).filter(chain(40)).await?.len(), 0);
    let wide = |width: i32| pie::Filter::any((0..width).map(|i| User::AGE.eq(i)));
    assert_eq!(User::query(&engine).filter(wide(2_000)).await?.len(), 0);
    let too_wide = which().speaks_sql().then(|| wide(70_000));
    for filter in [Some(chain(1_000)), too_wide].into_iter().flatten() {
        let error = User::query(&engine).filter(filter).await.expect_err("too deep");
        assert_eq!((error.kind(), error.model()), (ErrorKind::InvalidQuery, Some("User")), "{error:?}");
    }
    assert_eq!(User::query(&engine).filter(User::ID.in_([] as [i64; 0])).await?.len(), 0);
    assert!(engine.cache().delete("").await.is_err());
    assert!(engine.cache().delete_by_tags([""]).await.is_err());
    engine.cache().delete_by_tags([] as [&str; 0]).await?;
    Ok(())
}

#[tokio::test]
async fn a_pool_of_ones_own_without_regular_expressions_says_so() -> pie::Result<()> {
    if which() != Which::Sqlite {
        // The others have them.
        let engine = engine().await;
        engine.create_tables::<(User,)>().await?;
        let emails = ["ann", "Ann", "bob"];
        User::insert_many(&engine, emails.map(|email| NewUser { email: email.into(), age: 1 })).await?;
        let found = User::query(&engine).filter(User::EMAIL.matches_regex("^a")).await?;
        assert_eq!(found.iter().map(|user| user.email.as_str()).collect::<Vec<_>>(), ["ann"]);
        let error = User::query(&engine).filter(User::EMAIL.matches_regex("(")).await.expect_err("unclosed");
        assert_eq!(error.kind(), ErrorKind::InvalidQuery, "{error:?}");
        return Ok(());
    }
    let pool = sqlx::SqlitePool::connect("sqlite::memory:").await.expect("opens");
    let engine = Engine::builder().database(pool).build().await?;
    engine.create_tables::<(User,)>().await?;
    let error = User::query(&engine).filter(User::EMAIL.matches_regex("^a")).await.expect_err("none there");
    assert_eq!(error.kind(), ErrorKind::InvalidQuery);
    assert!(error.to_string().contains("feature `regex`"), "{error}");
    Ok(())
}
