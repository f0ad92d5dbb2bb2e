//! Writes that pie does not see, and those it is told of: `invalidate`, `touches`, cascades, `invalidate = "manual"`.
#![allow(clippy::expect_used, clippy::panic, clippy::unwrap_used, reason = "a test fails by panicking")]

use pie::prelude::*;
use pie::testing;
use pie::{assert_loads, assert_statements};
use pie_tests::log::Log;

#[derive(Debug, Clone, PartialEq, Model)]
#[cached(ttl = "1h")]
struct Plain {
    #[pie(id)]
    id: i64,
    name: String,
}

#[derive(Debug, Clone, PartialEq, Model)]
#[cached(ttl = "1h")]
#[pie(touches(Comment), index(org, status))]
struct Page {
    #[pie(id, auto)]
    id: i64,
    #[pie(unique)]
    slug: String,
    #[pie(index)]
    status: String,
    org: i64,
}

#[derive(Debug, Clone, PartialEq, Model)]
#[cached(ttl = "1h")]
struct Comment {
    #[pie(id, auto)]
    id: i64,
    #[pie(index)]
    page_id: i64,
}

/// The same table, by a model that says nothing of its comments.
#[derive(Debug, Clone, PartialEq, Model)]
#[cached(ttl = "1h")]
#[pie(table = "pages")]
struct Silent {
    #[pie(id, auto)]
    id: i64,
    slug: String,
}

#[derive(Debug, Clone, PartialEq, Model)]
#[cached(ttl = "1h")]
struct Membership {
    #[pie(id)]
    org_id: i64,
    #[pie(id)]
    user_id: i64,
    role: String,
}

#[derive(Debug, Clone, PartialEq, Model)]
#[cached(ttl = "1h")]
#[pie(invalidate = "manual")]
struct Counter {
    #[pie(id)]
    id: i64,
    hits: i64,
}

async fn engine() -> Engine {
    let builder = Engine::builder().database("sqlite::memory:").config(testing::config());
    let engine = builder.build().await.expect("builds");
    engine.create_tables::<(Plain, Page, Membership, Counter)>().await.expect("creates");
    let comments = "CREATE TABLE comments (id INTEGER PRIMARY KEY AUTOINCREMENT, \
                    page_id INTEGER NOT NULL REFERENCES pages (id) ON DELETE CASCADE)";
    engine.sql(comments).execute().await.expect("creates");
    engine
}

/// Writes past pie: nothing is invalidated.
async fn behind_the_back(engine: &Engine, statement: &str) {
    engine.sql(statement).touches::<()>().execute().await.expect("writes");
}

#[tokio::test]
async fn a_row_that_another_program_wrote_is_ended_by_its_id() -> pie::Result<()> {
    let engine = engine().await;
    for id in 1..=2 {
        Plain::insert(&engine, NewPlain { id, name: "old".into() }).await?;
    }
    Plain::find_by_ids(&engine, &[1, 2, 3]).await?;
    Plain::query(&engine).count().await?;
    behind_the_back(&engine, "UPDATE plains SET name = 'new' WHERE id = 1").await;
    behind_the_back(&engine, "INSERT INTO plains VALUES (3, 'new')").await;
    assert_eq!(Plain::find_by_id(&engine, 1).required().await?.name, "old");

    engine.invalidate::<Plain>([1, 3]).await?;
    assert_loads!(engine, 0, Plain::find_by_id(&engine, 2).await?);
    assert_eq!(Plain::find_by_id(&engine, 1).required().await?.name, "new");
    assert_eq!(Plain::find_by_id(&engine, 3).required().await?.name, "new", "also where there was none");
    assert_eq!(Plain::query(&engine).count().await?, 3);
    Ok(())
}

#[tokio::test]
async fn what_was_found_by_other_columns_goes_with_it() -> pie::Result<()> {
    let engine = engine().await;
    let page = NewPage { slug: "home".into(), status: "live".into(), org: 1 };
    let page = Page::insert(&engine, page).await?;
    Page::find_by_slug(&engine, "home").await?;
    Page::find_by_slug(&engine, "start").await?;
    Page::list_by_status(&engine, "live").await?;
    Page::list_by_org_and_status(&engine, 1, "live").count().await?;
    behind_the_back(&engine, "UPDATE pages SET slug = 'start', status = 'draft' WHERE id = 1").await;
    engine.invalidate::<Page>([page.id]).await?;
    assert!(Page::find_by_slug(&engine, "home").await?.is_none());
    assert!(Page::find_by_slug(&engine, "start").await?.is_some());
    assert!(Page::list_by_status(&engine, "live").await?.is_empty());
    assert_eq!(Page::list_by_org_and_status(&engine, 1, "live").count().await?, 0);
    Ok(())
}

#[tokio::test]
async fn ids_of_several_fields_are_tuples() -> pie::Result<()> {
    let engine = engine().await;
    Membership::insert(&engine, NewMembership { org_id: 1, user_id: 7, role: "owner".into() }).await?;
    Membership::find_by_id(&engine, 1, 7).await?;
    Membership::find_by_id(&engine, 7, 1).await?;
    behind_the_back(&engine, "UPDATE memberships SET role = 'guest'").await;
    engine.invalidate::<Membership>([(1, 7)]).await?;
    assert_eq!(Membership::find_by_id(&engine, 1, 7).required().await?.role, "guest");
    assert_loads!(engine, 0, Membership::find_by_id(&engine, 7, 1).await?);
    Ok(())
}

#[tokio::test]
async fn all_of_a_model_and_nothing_of_another() -> pie::Result<()> {
    let engine = engine().await;
    Plain::find_by_id(&engine, 1).await?;
    Page::find_by_id(&engine, 1).await?;
    Page::list_by_status(&engine, "live").await?;
    engine.invalidate_all::<Page>().await?;
    assert_loads!(engine, 0, Plain::find_by_id(&engine, 1).await?);
    assert_loads!(engine, 1, Page::find_by_id(&engine, 1).await?);
    assert_loads!(engine, 1, Page::list_by_status(&engine, "live").await?);
    engine.cache().disable();
    let error = engine.invalidate_all::<Plain>().await.expect_err("it is off");
    assert_eq!(error.kind(), pie::ErrorKind::Disabled);
    engine.cache().enable();
    assert_loads!(engine, 1, Plain::find_by_id(&engine, 1).await?);
    Ok(())
}

#[tokio::test]
async fn a_statement_that_says_what_it_touches_ends_that_and_no_more() -> pie::Result<()> {
    let engine = engine().await;
    Plain::insert(&engine, NewPlain { id: 1, name: "old".into() }).await?;
    let read = async || -> pie::Result<()> {
        Plain::find_by_id(&engine, 1).await?;
        Page::list_by_status(&engine, "live").await?;
        Comment::query(&engine).count().await?;
        Membership::find_by_id(&engine, 1, 1).await?;
        Ok(())
    };
    assert_loads!(engine, 4, read().await?);
    engine.sql("UPDATE plains SET name = ?").bind("new").touches::<(Plain,)>().execute().await?;
    assert_loads!(engine, 1, read().await?);
    assert_eq!(Plain::find_by_id(&engine, 1).required().await?.name, "new");
    // With what the model touches itself.
    engine.sql("DELETE FROM pages").touches::<(Page,)>().touches::<(Membership,)>().execute().await?;
    assert_loads!(engine, 3, read().await?);
    // What looks like a read is a write when it says so.
    engine.sql("SELECT 1").touches::<(Plain,)>().all::<(i64,)>().await?;
    assert_loads!(engine, 1, read().await?);
    // In a transaction at its commit, and not at all when it is rolled back.
    for (commit, loads) in [(false, 0), (true, 1)] {
        let tx = engine.begin().await?;
        tx.sql("UPDATE plains SET name = name").touches::<(Plain,)>().execute().await?;
        if commit {
            tx.commit().await?
        } else {
            tx.rollback().await?
        }
        assert_loads!(engine, loads, read().await?);
    }
    // Without it nobody knows.
    engine.sql("UPDATE plains SET name = name").execute().await?;
    assert_loads!(engine, 4, read().await?);
    Ok(())
}

#[tokio::test]
async fn what_a_cascade_deletes_is_not_served() -> pie::Result<()> {
    let engine = engine().await;
    let mut pages = Vec::new();
    for slug in ["a", "b"] {
        let new = NewPage { slug: slug.into(), status: "live".into(), org: 1 };
        pages.push(Page::insert(&engine, new).await?.id);
    }
    let comment = Comment::insert(&engine, NewComment { page_id: pages[0] }).await?;
    let read = async || {
        let row = Comment::find_by_id(&engine, comment.id).await.expect("reads").is_some();
        let list = Comment::list_by_page_id(&engine, pages[0]).await.expect("reads").len();
        (row, list, Comment::query(&engine).count().await.expect("counts"))
    };
    assert_eq!(read().await, (true, 1, 1));
    Page::delete_by_id(&engine, pages[0]).await?;
    assert_eq!(read().await, (false, 0, 0));
    // A delete of no row changes nothing.
    assert!(!Page::delete_by_id(&engine, 99).await?);
    assert_loads!(engine, 0, read().await);
    assert_statements!(engine, 1, Page::delete_by_id(&engine, pages[1]).await?);
    Ok(())
}

#[tokio::test]
async fn a_cascade_that_no_model_names_is_a_warning_at_start() -> pie::Result<()> {
    let engine = engine().await;
    let trigger =
        "CREATE TRIGGER log_plains AFTER UPDATE ON plains BEGIN UPDATE counters SET hits = hits + 1; END";
    engine.sql(trigger).execute().await?;
    let before = engine.statements();
    let undeclared = engine.undeclared_cascades::<(Silent, Page, Plain, Comment)>().await?;
    let found: Vec<_> =
        undeclared.iter().map(|found| (found.model, found.table.as_deref(), &*found.by)).collect();
    let expected =
        [("Silent", Some("comments"), "ON DELETE CASCADE"), ("Plain", None, "trigger `log_plains`")];
    assert_eq!(found, expected);
    assert_eq!(engine.statements(), before, "not counted");
    assert!(undeclared[0].to_string().contains("#[pie(touches(…))]"), "{}", undeclared[0]);

    let folder = tempfile::tempdir().expect("a folder");
    let url = format!("sqlite://{}", folder.path().join("a.db").display());
    let first = Engine::builder().database(url.as_str()).build().await?;
    first.create_tables::<(Silent,)>().await?;
    let comments = "CREATE TABLE comments (id INTEGER PRIMARY KEY, page_id INTEGER REFERENCES pages (id) ON UPDATE SET NULL)";
    first.sql(comments).execute().await?;
    first.close().await;
    let log = Log::start().await;
    let second = Engine::builder().database(url.as_str()).models::<(Silent, Comment)>().build().await?;
    // Other tests of this file log their own models.
    let said: Vec<String> = log
        .events()
        .into_iter()
        .filter(|line| line.starts_with("WARN") && line.contains("`Silent`"))
        .collect();
    assert_eq!(said.len(), 1, "{said:?}");
    assert!(said[0].contains("ON UPDATE SET NULL") && said[0].contains("touches"), "{said:?}");
    second.close().await;
    Ok(())
}

#[tokio::test]
async fn a_model_by_hand_is_left_alone_by_its_writes() -> pie::Result<()> {
    let engine = engine().await;
    Counter::insert(&engine, NewCounter { id: 1, hits: 1 }).await?;
    assert_eq!(Counter::find_by_id(&engine, 1).required().await?.hits, 1);
    Counter::update_by_id(&engine, 1).hits(2).await?;
    Counter::query(&engine).filter(Counter::ID.eq(1)).update().set(Counter::HITS, 3).await?;
    engine
        .transaction(|tx| async move {
            Counter::update_by_id(&tx, 1).hits(4).await?;
            assert_eq!(Counter::find_by_id(&tx, 1).required().await?.hits, 4, "past the cache");
            Ok(())
        })
        .await?;
    assert_loads!(engine, 0, assert_eq!(Counter::find_by_id(&engine, 1).required().await?.hits, 1));
    engine.invalidate::<Counter>([1]).await?;
    assert_eq!(Counter::find_by_id(&engine, 1).required().await?.hits, 4);
    Ok(())
}
