//! Settings from files and the environment, and what of them is refused.
#![allow(clippy::expect_used, clippy::panic, clippy::unwrap_used, reason = "a test fails by panicking")]

use std::time::Duration;

use pie::prelude::*;
use pie::testing::MapLayer;
use pie::{CacheConfig, ErrorKind, Memory, Settings, Source};
use pie_tests::{redis_server, unique};

#[derive(Debug, Clone, Model)]
#[cached]
struct User {
    #[pie(id, auto)]
    id: i64,
    name: String,
}

async fn works(engine: &Engine) {
    engine.create_tables::<(User,)>().await.expect("creates");
    User::insert(engine, NewUser { name: "Ann".into() }).await.expect("inserts");
    User::find_by_id(engine, 1).await.expect("answers");
    let user = User::find_by_id(engine, 1).required().await.expect("answers");
    assert_eq!(user.source(), Source::Memory);
}

#[tokio::test]
async fn an_engine_from_a_toml_file() -> pie::Result<()> {
    let Some(port) = redis_server::shared() else { return Ok(()) };
    let folder = tempfile::tempdir().expect("a folder");
    let file = folder.path().join("pie.toml");
    let text = format!(
        r#"
        [database]
        url = "sqlite://{}"
        max_connections = 2

        [cache]
        default_ttl = "10m"
        ttl_jitter = "1m"
        key_prefix = "{}:"
        max_entry_size = "1MiB"
        on_detached = "bypass"

        [memory]
        max_bytes = "16MiB"

        [redis]
        addr = "127.0.0.1:{port}"
        pool_size = 2
        budget = "5s"
        connect_timeout = "20s"
        "#,
        folder.path().join("app.db").display(),
        unique("settings-test-"),
    );
    std::fs::write(&file, text).expect("writes");
    let settings = Settings::from_file(&file)?;
    let engine = Engine::builder().settings(settings).require_redis().build().await?;
    let names: Vec<_> = engine.cache().layers().iter().map(|layer| layer.stats().name).collect();
    assert_eq!(names, ["memory", "redis"]);
    works(&engine).await;
    engine.close().await;
    Ok(())
}

#[tokio::test]
async fn an_engine_from_the_environment_behind_a_layer_of_its_own() -> pie::Result<()> {
    let settings = Settings::from_vars(
        "SHOP",
        [
            ("SHOP_CACHE_DEFAULT_TTL", "1h"),
            ("SHOP_CACHE_ENABLE_JITTER", "false"),
            ("SHOP_MEMORY_MAX_BYTES", "8MiB"),
        ],
    )?;
    let builder = Engine::builder().database("sqlite::memory:").layer(MapLayer::new()).settings(settings);
    let engine = builder.build().await?;
    let names: Vec<_> = engine.cache().layers().iter().map(|layer| layer.stats().name).collect();
    assert_eq!(names, ["map", "memory"], "custom first");
    Ok(())
}

#[tokio::test]
async fn the_environment_itself_is_read() -> pie::Result<()> {
    // A prefix that nobody has set anything for: the defaults.
    let settings = Settings::from_env("PIE_TEST_NOBODY_SETS_THIS")?;
    assert!(settings.cache.is_none() && settings.memory.is_none() && settings.redis.is_none());
    // The variables of the tests themselves are none of pie's settings.
    if std::env::var_os("PIE_TEST_REDIS_PORT").is_some() {
        let error = Settings::from_env("PIE").expect_err("refused");
        let text = error.to_string();
        assert!(text.contains("`PIE_TEST_") && text.contains("` is no setting"), "{error}");
    }
    Ok(())
}

#[test]
fn what_cannot_be_read_is_refused_with_what_to_write() {
    for (json, wanted) in [
        (r#"{ "cach": {} }"#, "unknown field `cach`, expected one of `database`, `cache`"),
        (r#"{ "cache": { "default_tll": "5m" } }"#, "unknown field `default_tll`"),
        (r#"{ "cache": { "default_ttl": 300 } }"#, "a duration with its unit, such as \"30s\""),
        (r#"{ "cache": { "default_ttl": "-5m" } }"#, "`-5m` is no duration"),
        (r#"{ "cache": { "default_ttl": "99999999999999999999h" } }"#, "is no duration"),
        (r#"{ "cache": { "max_entry_size": -1 } }"#, "a size below 0"),
        (r#"{ "cache": { "max_entry_size": "9999999EiB" } }"#, "is no size"),
        (r#"{ "cache": { "max_loads": -1 } }"#, "-1"),
        (r#"{ "cache": { "on_detached": "panic" } }"#, "`serve`"),
        (r#"{ "memory": { "max_bytes": "much" } }"#, "`much` is no size"),
        (r#"{ "redis": { "port": 6379 } }"#, "unknown field `port`"),
        (r#"{ "database": {} }"#, "missing field `url`"),
        ("nothing", "line 1"),
    ] {
        let error = Settings::from_json(json).expect_err(json);
        assert_eq!(error.kind(), ErrorKind::InvalidConfig);
        assert!(error.to_string().contains(wanted), "{json}: {error}");
    }
}

#[test]
fn no_error_and_no_debug_shows_a_password() {
    let json = r#"{ "database": { "url": "postgres://ann:secret@host/db" }, "redis": { "addr": "redis://ann:secret@host", "password": "secret" } }"#;
    let settings = Settings::from_json(json).expect("valid");
    assert!(!format!("{settings:?}").contains("secret"));
    for json in [
        r#"{ "redis": { "password": 8713 } }"#,
        r#"{ "redis": { "password": true, "addr": 8713 } }"#,
        r#"{ "database": { "url": 8713 } }"#,
    ] {
        let error = Settings::from_json(json).expect_err(json).to_string();
        assert!(!error.contains("8713") && error.contains("text in quotes"), "{error}");
    }
    let toml = "[redis]\npassword = \"secret\"\nadr = \"x\"\n";
    let error = format!("{:?}", Settings::from_toml(toml).expect_err("unknown"));
    assert!(error.contains("`adr`") && !error.contains("secret"), "{error}");
}

async fn refused(config: CacheConfig, wanted: &str) {
    let error = Engine::builder().database("sqlite::memory:").config(config).build().await.expect_err(wanted);
    assert_eq!(error.kind(), ErrorKind::InvalidConfig);
    assert!(error.to_string().contains(wanted), "{error}");
}

#[tokio::test]
async fn what_cannot_work_is_refused_when_the_engine_is_built() {
    let base = CacheConfig::default;
    let seconds = Duration::from_secs;
    refused(
        CacheConfig { ttl_jitter: seconds(300), ..base() },
        "`ttl_jitter` of 300s with a `default_ttl` of 300s",
    )
    .await;
    refused(CacheConfig { default_ttl: seconds(10), ..base() }, "such as 1s").await;
    refused(CacheConfig { default_ttl: Duration::ZERO, ..base() }, "a default ttl of 0").await;
    refused(CacheConfig { default_ttl: Duration::MAX, ..base() }, "`default_ttl` of more than 100 years")
        .await;
    refused(CacheConfig { stale: Duration::MAX, ..base() }, "`stale` of more than 100 years").await;
    refused(CacheConfig { max_entry_size: 0, ..base() }, "`max_entry_size` of 0").await;
    refused(CacheConfig { layer_timeout: Duration::ZERO, ..base() }, "`layer_timeout` of 0").await;
    for prefix in ["shop*", "sh?op", "[shop]", "shop\\", "shop~", "shop\n"] {
        refused(CacheConfig { key_prefix: prefix.into(), ..base() }, "a key prefix").await;
    }
    let none = CacheConfig { default_ttl: seconds(10), enable_jitter: false, ..base() };
    assert!(Engine::builder().database("sqlite::memory:").config(none).build().await.is_ok());

    let zero = Engine::builder().database("sqlite::memory:").memory(Memory::max_bytes(0)).build().await;
    assert!(zero.is_err_and(|error| error.to_string().contains("a memory layer of 0 bytes")));
    let zero = Settings::from_vars("P", [("P_MEMORY_MAX_BYTES", "0")]).expect("a number");
    let zero = Engine::builder().database("sqlite::memory:").settings(zero).build().await;
    assert!(zero.is_err_and(|error| error.to_string().contains("a memory layer of 0 bytes")));
    let twice = Engine::builder().database("sqlite::memory:").layer(MapLayer::new()).layer(MapLayer::new());
    assert!(twice.build().await.is_err_and(|error| error.to_string().contains("two layers named `map`")));
}
