//! Where the engine is: arguments, transactions, scopes, the installed one.

use super::*;

/// A free function with its engine as an argument.
#[cached(ttl = "1m", name = "sum")]
pub(crate) async fn sum_of(engine: &Engine, numbers: &[i64], extra: Option<i64>) -> pie::Result<i64> {
    let rows: Vec<(i64,)> = engine.sql("SELECT ?").bind(extra.unwrap_or(0)).all().await?;
    Ok(numbers.iter().sum::<i64>() + rows[0].0)
}

/// In a transaction, or not.
#[cached(ttl = "1m")]
async fn names(tx: &Tx) -> pie::Result<Vec<String>> {
    let users = User::query(tx).order_by(User::ID.asc()).await?;
    Ok(users.iter().map(|user| user.name.clone()).collect())
}

#[invalidates(tags("names"), models(User))]
async fn add(tx: &Tx, name: String) -> pie::Result<()> {
    tx.sql("INSERT INTO users (name) VALUES (?)").bind(name).execute().await.map(drop)
}

#[tokio::test]
async fn free_functions_find_their_engine_among_the_arguments() -> pie::Result<()> {
    let users = Users::new().await;
    let engine = &users.engine;
    let count = |outcome: pie::Result<i64>| outcome;
    pie::assert_statements!(engine, 1, {
        assert_eq!(count(sum_of(engine, &[1, 2], Some(3)).await)?, 6);
        assert_eq!(sum_of(engine, &[1, 2], Some(3)).await?, 6);
    });
    pie::assert_statements!(engine, 3, {
        sum_of(engine, &[1, 2], None).await?;
        sum_of(engine, &[], Some(3)).await?;
        sum_of(engine, &[1], Some(3)).await?;
    });
    assert_eq!(sum_of_cache_key(&[1, 2], Some(3)), "sum:%(1,2,%),%+3");
    engine.cache().delete_by_pattern("sum:*").await?;
    pie::assert_statements!(engine, 1, sum_of(engine, &[1, 2], Some(3)).await?);
    let stats = engine.cache().report().groups;
    assert!(stats.iter().any(|group| group.name == "sum" && group.kind.as_str() == "function"));
    Ok(())
}

#[tokio::test]
async fn in_a_transaction_nothing_is_taken_from_the_cache_and_what_is_invalidated_waits_for_the_commit()
-> pie::Result<()> {
    let users = Users::new().await;
    let engine = &users.engine;
    let ask = || async { User::query(engine).await.map(|users| users.len()) };
    assert_eq!(ask().await?, 0);
    let tx = engine.begin().await?;
    add(&tx, "Ann".into()).await?;
    pie::assert_statements!(engine, 2, {
        assert_eq!(names(&tx).await?, ["Ann"]);
        assert_eq!(names(&tx).await?, ["Ann"]);
    });
    tx.rollback().await?;
    pie::assert_statements!(engine, 0, ask().await?);
    let tx = engine.begin().await?;
    add(&tx, "Bob".into()).await?;
    tx.commit().await?;
    assert_eq!(ask().await?, 1);
    Ok(())
}

#[cached(ttl = "1m", via = global)]
async fn answer() -> u64 {
    static CALLS: AtomicU64 = AtomicU64::new(0);
    CALLS.fetch_add(1, Ordering::SeqCst)
}

#[tokio::test]
async fn a_global_engine() {
    assert_ne!(answer().await, answer().await, "without one, nothing is cached");
    let users = Users::new().await;
    pie::install(users.engine.clone());
    assert_eq!(answer().await, answer().await);
}

#[tokio::test]
async fn scopes_keep_functions_apart_and_a_closed_engine_runs_them() {
    let users = Users::new().await;
    let tenant = users.engine.scoped("tenant:7");
    let ask = async |engine: &Engine| sum_of(engine, &[1], None).await;
    ask(&users.engine).await.expect("answers");
    pie::assert_statements!(users.engine, 1, ask(&tenant).await.expect("answers"));
    tenant.cache().delete_by_pattern("sum:*").await.expect("deletes");
    pie::assert_statements!(users.engine, 0, ask(&users.engine).await.expect("answers"));
    users.engine.cache().disable();
    users.plain().await;
    users.plain().await;
    assert_eq!(users.loads(), 2, "switched off");
    users.engine.cache().enable();
    users.engine.close().await;
    users.plain().await;
    users.plain().await;
    assert_eq!(users.loads(), 2, "closed");
}

#[invalidates(keys("note:{id}"), tags("note-{id}"), patterns("list:*"))]
async fn touch(tx: &Tx, id: i64) {
    let _ = tx;
}

#[tokio::test]
async fn what_a_function_ends_in_a_transaction_ends_at_its_commit() -> pie::Result<()> {
    let users = Users::new().await;
    let (engine, minute) = (&users.engine, Duration::from_secs(60));
    let cache = engine.cache();
    let fill = async || {
        cache.set("note:1", &1, minute).await?;
        cache.set("other", &1, minute).tags(["note-1"]).await?;
        cache.set("list:all", &1, minute).await?;
        cache.set("note:2", &1, minute).await
    };
    let there = async || {
        let all = cache.get_many::<u32, _>(&["note:1", "other", "list:all", "note:2"]).await;
        all.map(|all| all.iter().map(Option::is_some).collect::<Vec<_>>())
    };
    fill().await?;
    let tx = engine.begin().await?;
    touch(&tx, 1).await;
    assert_eq!(there().await?, [true; 4], "not before the commit");
    tx.rollback().await?;
    assert_eq!(there().await?, [true; 4], "not at a rollback");
    let tx = engine.begin().await?;
    touch(&tx, 1).await;
    tx.commit().await?;
    assert_eq!(there().await?, [false, false, false, true]);
    Ok(())
}
