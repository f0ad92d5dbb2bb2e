//! Rows 66 to 81: the worked examples. Those that are programs of their own are in `examples/`.

use pie::testing::{Fault, FaultyLayer};
use pie::{Error, ErrorKind, Memory, OnL2Down, Source, assert_statements};

use super::*;

#[tokio::test]
async fn row_66_a_user_by_id() -> pie::Result<()> {
    let (engine, clock) = memory_engine().await;
    let ask = || User::find_by_id(&engine, 1).cache(10 * MINUTE);
    assert_eq!(ask().await?.map(|user| user.age), Some(31));
    clock.advance(10 * MINUTE - SECOND);
    assert_statements!(engine, 0, ask().await?);
    Ok(())
}

#[tokio::test]
async fn row_67_an_update_and_the_family_of_the_rows() -> pie::Result<()> {
    let (engine, _clock) = memory_engine().await;
    User::find_by_id(&engine, 1).await?;
    User::find_by_id(&engine, 2).await?;
    User::update_by_id(&engine, 1).age(32).await?;
    assert_eq!(User::find_by_id(&engine, 1).required().await?.age, 32);
    engine.cache().delete_by_pattern("user:*").await?;
    assert_statements!(engine, 1, User::find_by_id(&engine, 2).await?);
    Ok(())
}

#[tokio::test]
async fn row_68_counts_with_a_ttl_and_with_tags() -> pie::Result<()> {
    let (engine, _clock) = memory_engine().await;
    let all = || User::query(&engine).cache(30 * MINUTE).count();
    let active = || User::query(&engine).filter(User::STATUS.eq("active")).tags(["users", "stats"]).count();
    assert_eq!((all().await?, active().await?), (3, 2));
    engine.cache().delete_by_tags(["stats"]).await?;
    assert_statements!(engine, 1, (all().await?, active().await?));
    Ok(())
}

#[derive(Debug, Clone, Model)]
struct Config {
    #[pie(id, auto)]
    id: i64,
    #[pie(unique)]
    key: String,
    value: String,
}

async fn configs() -> Engine {
    let (engine, _clock) = memory_engine().await;
    engine.create_tables::<(Config,)>().await.expect("creates");
    engine
}

#[tokio::test]
async fn row_69_a_setting_by_its_key() -> pie::Result<()> {
    let engine = configs().await;
    Config::insert(&engine, NewConfig { key: "theme".into(), value: "dark".into() }).await?;
    let ask = || Config::find_by_key(&engine, "theme").required().tags(["config"]);
    assert_eq!(ask().await?.value, "dark");
    assert_statements!(engine, 0, ask().await?);
    let missing = Config::find_by_key(&engine, "font").required().await.expect_err("missing");
    assert_eq!(missing.kind(), ErrorKind::NotFound);
    Ok(())
}

#[tokio::test]
async fn row_70_an_upsert_and_a_tag() -> pie::Result<()> {
    let engine = configs().await;
    for value in ["dark", "light"] {
        Config::upsert_by_key(&engine, NewConfig { key: "theme".into(), value: value.into() }).await?;
        engine.cache().delete_by_tags(["config"]).await?;
        assert_eq!(Config::find_by_key(&engine, "theme").required().tags(["config"]).await?.value, value);
    }
    assert_eq!(Config::query(&engine).count().await?, 1);
    Ok(())
}

#[tokio::test]
async fn row_71_warming_up() -> pie::Result<()> {
    let engine = configs().await;
    let mut told = Vec::new();
    let report = engine
        .warmup()
        .query("active_users", || User::list_by_status(&engine, "active").cache(60 * MINUTE))
        .query("broken", || async {
            engine.sql("SELECT nothing FROM nowhere").all::<(i64,)>().await.map(drop)
        })
        .query("admin_users", || User::query(&engine).filter(User::AGE.gt(40)).cache(60 * MINUTE))
        .concurrency(1)
        .on_progress(|progress| told.push(progress.to_string()))
        .await;
    assert_eq!((report.loaded(), report.failed(), report.skipped()), (2, 1, 0));
    assert_eq!(report.queries.iter().map(|query| query.rows).collect::<Vec<_>>(), [2, 0, 1]);
    assert!(told[0].starts_with("[1/3] active_users: loaded, 2 rows"), "{told:?}");
    assert!(told[1].starts_with("[2/3] broken: failed"), "{told:?}");
    assert_statements!(engine, 0, User::list_by_status(&engine, "active").cache(60 * MINUTE).await?);
    Ok(())
}

#[tokio::test]
async fn row_72_a_query_that_is_cached_or_not() -> pie::Result<()> {
    let (engine, _clock) = memory_engine().await;
    let ask = |cached| User::list_by_status(&engine, "active").cache(5 * MINUTE).cache_if(cached);
    assert_statements!(engine, 2, (ask(false).await?, ask(false).await?));
    assert_statements!(engine, 1, (ask(true).await?, ask(true).await?));
    assert_statements!(engine, 1, ask(false).await?);
    Ok(())
}

#[tokio::test]
async fn row_73_three_families_of_keys() -> pie::Result<()> {
    #[derive(Debug, Clone, Model)]
    #[cached]
    #[pie(table = "members")]
    struct Member {
        #[pie(id)]
        id: String,
        #[pie(index)]
        status: String,
    }
    let (engine, _clock) = memory_engine().await;
    engine.create_tables::<(Member,)>().await?;
    let hex = "507f1f77bcf86cd799439011";
    Member::insert(&engine, NewMember { id: hex.into(), status: "active".into() }).await?;
    let row = || Member::find_by_id(&engine, hex);
    let list = || Member::list_by_status(&engine, "active");
    let named = || Member::query(&engine).filter(Member::STATUS.eq("active")).named("active_members");
    let ask = async || {
        row().await?;
        list().await?;
        named().await.map(drop)
    };
    assert_statements!(engine, 3, ask().await?);
    engine.cache().delete(&format!("member:{hex}")).await?;
    assert_statements!(engine, 1, ask().await?);
    engine.cache().delete_by_pattern("members:*").await?;
    assert_statements!(engine, 2, ask().await?);
    engine.cache().delete_by_pattern("active_members:*").await?;
    assert_statements!(engine, 1, ask().await?);
    Member::update_by_id(&engine, hex).status("away").await?;
    assert!(named().await?.is_empty(), "a write ends a list whatever its name");
    Ok(())
}

#[tokio::test]
async fn row_74_everything_of_the_users() -> pie::Result<()> {
    let (engine, _clock) = memory_engine().await;
    let ask = async || {
        User::find_by_id(&engine, 1).tags(["users"]).await?;
        User::query(&engine).tags(["user_stats"]).count().await
    };
    ask().await?;
    engine.cache().delete_by_tags(["users", "user_stats"]).await?;
    assert_statements!(engine, 2, ask().await?);
    Ok(())
}

#[tokio::test]
async fn row_75_data_that_seldom_changes_for_an_hour() -> pie::Result<()> {
    let (engine, clock) = memory_engine().await;
    let ask = || User::query(&engine).cache(Duration::from_secs(3_600));
    ask().await?;
    clock.advance(59 * MINUTE);
    assert_statements!(engine, 0, ask().await?);
    clock.advance(MINUTE);
    assert_statements!(engine, 1, ask().await?);
    Ok(())
}

#[tokio::test]
async fn row_76_data_that_often_changes_for_a_minute() -> pie::Result<()> {
    let (engine, clock) = memory_engine().await;
    let ask = || User::query(&engine).cache(MINUTE);
    ask().await?;
    clock.advance(59 * SECOND);
    assert_statements!(engine, 0, ask().await?);
    clock.advance(SECOND);
    assert_statements!(engine, 1, ask().await?);
    Ok(())
}

#[tokio::test]
async fn row_77_fifty_megabytes_hot_and_redis_warm() -> pie::Result<()> {
    let Some(addr) = redis_addr() else { return Ok(()) };
    let (config, database) = (testing::config(), tempfile::NamedTempFile::new().expect("a file"));
    let build = async || {
        Engine::builder()
            .database(format!("sqlite://{}", database.path().display()))
            .config(config.clone())
            .memory(Memory::max_bytes(50 * 1024 * 1024))
            .redis(redis_config(&addr))
            .require_redis()
            .build()
            .await
            .expect("builds")
    };
    let engine = build().await;
    engine.create_tables::<(User,)>().await?;
    User::insert(&engine, NewUser { email: "a".into(), status: "active".into(), age: 1 }).await?;
    User::find_by_id(&engine, 1).await?;
    engine.close().await;
    let again = build().await;
    let user = User::find_by_id(&again, 1).required().await?;
    assert_eq!(user.source(), Source::Redis, "what is warm outlives the process");
    Ok(())
}

#[tokio::test]
async fn row_78_a_warning_under_fifty_percent() -> pie::Result<()> {
    let (engine, _clock) = memory_engine().await;
    let warns = || {
        let stats = engine.cache().stats();
        assert!(stats.total > 0 && stats.size > 0);
        stats.hit_rate < 50.0
    };
    User::find_by_id(&engine, 1).await?;
    assert!(warns());
    for _ in 0..3 {
        User::find_by_id(&engine, 1).await?;
    }
    assert!(!warns());
    Ok(())
}

#[tokio::test]
async fn row_79_jitter_against_stampedes() -> pie::Result<()> {
    let (engine, clock) = memory_engine().await;
    let more = (0..100).map(|i| NewUser { email: format!("u{i}"), status: "new".into(), age: i });
    let ids: Vec<i64> = User::insert_many(&engine, more).await?.iter().map(|user| user.id).collect();
    let ask = async || {
        let before = engine.statements();
        for id in &ids {
            User::find_by_id(&engine, *id).cache(10 * MINUTE).jitter(2 * MINUTE).await.expect("answers");
        }
        engine.statements() - before
    };
    assert_eq!(ask().await, 100);
    clock.advance(8 * MINUTE - SECOND);
    assert_eq!(ask().await, 0, "all live at least ttl - jitter");
    clock.advance(2 * MINUTE);
    let ended = ask().await;
    assert!((15..85).contains(&ended), "they do not end together: {ended} of 100 ended within the ttl");
    Ok(())
}

fn handle_cache_error(error: Option<&Error>) -> &'static str {
    match error.map(Error::kind) {
        None => "",
        Some(ErrorKind::NotFound) => "Cache miss - this is normal",
        Some(ErrorKind::Expired) => "Cache expired - refreshing",
        Some(ErrorKind::Disabled) => "Cache is disabled",
        Some(_) => "Cache error",
    }
}

#[tokio::test]
async fn row_80_errors_of_the_cache_are_told_apart() -> pie::Result<()> {
    let (engine, clock) = memory_engine().await;
    let cache = engine.cache();
    let ask = async || {
        let outcome = cache.get::<u32>("k").required().await;
        handle_cache_error(outcome.as_ref().err())
    };
    assert_eq!(ask().await, "Cache miss - this is normal");
    cache.set("k", &1, MINUTE).await?;
    assert_eq!(ask().await, "");
    clock.advance(MINUTE);
    assert_eq!(ask().await, "Cache expired - refreshing");
    cache.disable();
    assert_eq!(ask().await, "Cache is disabled");
    cache.enable();
    cache.set("k", "text", MINUTE).await?;
    assert_eq!(ask().await, "Cache error", "a value of another type");
    Ok(())
}

#[tokio::test]
async fn row_81_the_fallback_is_built_in_and_errors_are_asked_for() -> pie::Result<()> {
    let faulty = FaultyLayer::new();
    let engine = filled(builder().layer(faulty.clone())).await;
    faulty.set_fault(Fault::Fail);
    let ask = || User::list_by_status(&engine, "active").cache(5 * MINUTE);
    let users = assert_statements!(engine, 1, ask().await?);
    assert_eq!((users.len(), users.source()), (2, Source::Database));
    let strict = assert_statements!(engine, 0, ask().on_l2_down(OnL2Down::Fail).await);
    let error = strict.expect_err("asked for");
    assert_eq!(error.kind(), ErrorKind::Layer);
    assert!(error.to_string().contains("`faulty`"), "{error}");
    faulty.set_fault(Fault::None);
    assert_eq!(ask().on_l2_down(OnL2Down::Fail).await?.len(), 2);
    Ok(())
}
