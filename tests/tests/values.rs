//! Every column type at its bounds: through the database, through filters, and through the bytes of a shared layer.
#![allow(clippy::expect_used, clippy::panic, clippy::unwrap_used, reason = "a test fails by panicking")]

use chrono::{DateTime, NaiveDate, NaiveDateTime, NaiveTime, Utc};
use pie::prelude::*;
use pie::{ErrorKind, Value};
use pie_tests::databases::{self, Which, which};
use serde::{Deserialize, Serialize};
use uuid::Uuid;

#[derive(Debug, Clone, Copy, PartialEq, Eq, Value)]
#[pie(rename_all = "snake_case")]
enum Kind {
    Owner,
    InReview,
    #[pie(rename = "guest user")]
    Guest,
}

#[derive(Debug, Clone, PartialEq, Eq, Value)]
struct Slug(String);

#[derive(Debug, Clone, Copy, PartialEq, Eq, Value)]
struct ThingId(i64);

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
struct Settings {
    theme: String,
    sizes: Vec<u32>,
}

#[derive(Debug, Clone, PartialEq, Model)]
#[cached(ttl = "5m")]
struct Thing {
    #[pie(id, auto)]
    id: ThingId,
    i8: i8,
    i16: i16,
    i32: i32,
    i64: i64,
    u8: u8,
    u16: u16,
    u32: u32,
    u64: u64,
    f32: f32,
    f64: f64,
    yes: bool,
    #[pie(index)]
    text: String,
    bytes: Vec<u8>,
    #[pie(unique)]
    uuid: Uuid,
    #[pie(index)]
    date: NaiveDate,
    #[pie(index)]
    time: NaiveTime,
    #[pie(index)]
    moment: NaiveDateTime,
    #[pie(index)]
    stamp: DateTime<Utc>,
    #[pie(index)]
    kind: Kind,
    #[pie(index)]
    slug: Option<Slug>,
    maybe: Option<i64>,
    json: serde_json::Value,
    #[pie(json)]
    settings: Settings,
    #[pie(json)]
    more: Option<Settings>,
    r#type: Option<String>,
}

fn stamp(text: &str) -> DateTime<Utc> {
    text.parse().expect("a time")
}

fn small(uuid: u128) -> NewThing {
    NewThing {
        i8: i8::MIN,
        i16: i16::MIN,
        i32: i32::MIN,
        i64: i64::MIN,
        u8: 0,
        u16: 0,
        u32: 0,
        u64: 0,
        f32: f32::MIN,
        f64: f64::MIN_POSITIVE,
        yes: false,
        text: String::new(),
        bytes: Vec::new(),
        uuid: Uuid::from_u128(uuid),
        date: NaiveDate::from_ymd_opt(0, 1, 1).expect("valid"),
        time: NaiveTime::MIN,
        moment: stamp("0000-01-01T00:00:00Z").naive_utc(),
        stamp: stamp(if is_mongodb() { "1969-12-31T23:59:59.999Z" } else { "1969-12-31T23:59:59.999999Z" }),
        kind: Kind::Owner,
        slug: None,
        maybe: None,
        json: serde_json::Value::Null,
        settings: Settings { theme: String::new(), sizes: Vec::new() },
        more: None,
        r#type: None,
    }
}

fn large(uuid: u128) -> NewThing {
    NewThing {
        i8: i8::MAX,
        i16: i16::MAX,
        i32: i32::MAX,
        i64: i64::MAX,
        u8: u8::MAX,
        u16: u16::MAX,
        u32: u32::MAX,
        u64: u64::try_from(i64::MAX).expect("fits"),
        f32: f32::MAX,
        f64: if is_mysql() { f64::MAX } else { f64::INFINITY },
        yes: true,
        text: if which() == Which::Postgres { "\u{1F967} end" } else { "\u{1F967} nul \0 end" }.into(),
        bytes: vec![0, 255, 0],
        uuid: Uuid::from_u128(uuid),
        date: NaiveDate::from_ymd_opt(9999, 12, 31).expect("valid"),
        time: NaiveTime::from_hms_micro_opt(23, 59, 59, 999_999).expect("valid"),
        moment: stamp(if is_mongodb() { "9999-12-31T23:59:59.999Z" } else { "9999-12-31T23:59:59.999999Z" })
            .naive_utc(),
        stamp: stamp("9999-12-31T23:59:59Z"),
        kind: Kind::Guest,
        slug: Some(Slug("a:b".into())),
        maybe: Some(i64::MIN),
        json: serde_json::json!({"a": [1, null, "x"], "b": 1.5}),
        settings: Settings { theme: "dark".into(), sizes: vec![1, u32::MAX] },
        more: Some(Settings { theme: "light".into(), sizes: vec![] }),
        r#type: Some("t".into()),
    }
}

fn is_mysql() -> bool {
    matches!(which(), Which::MariaDb | Which::MySql)
}

/// Its times have milliseconds.
fn is_mongodb() -> bool {
    which() == Which::MongoDb
}

async fn engine() -> Engine {
    let engine = Engine::builder().database(pie_tests::databases::database()).build().await.expect("builds");
    engine.create_tables::<(Thing,)>().await.expect("creates");
    engine
}

#[tokio::test]
async fn every_type_comes_back_at_its_bounds() -> pie::Result<()> {
    let engine = engine().await;
    for (id, (new, same)) in (1_i64..).zip([(small(1), small(1)), (large(2), large(2))]) {
        let row = Thing::insert(&engine, new).await?;
        assert_eq!(row.id, ThingId(id));
        assert_eq!(
            (row.i8, row.i16, row.i32, row.i64, row.u8, row.u16, row.u32, row.u64),
            (same.i8, same.i16, same.i32, same.i64, same.u8, same.u16, same.u32, same.u64)
        );
        assert_eq!(
            (row.f32.to_bits(), row.f64.to_bits(), row.yes),
            (same.f32.to_bits(), same.f64.to_bits(), same.yes)
        );
        assert_eq!((&row.text, &row.bytes, row.uuid), (&same.text, &same.bytes, same.uuid));
        assert_eq!(
            (row.date, row.time, row.moment, row.stamp),
            (same.date, same.time, same.moment, same.stamp)
        );
        assert_eq!(
            (row.kind, &row.slug, row.maybe, &row.r#type),
            (same.kind, &same.slug, same.maybe, &same.r#type)
        );
        assert_eq!((&row.json, &row.settings, &row.more), (&same.json, &same.settings, &same.more));
        assert_eq!(Thing::find_by_id(&engine, row.id).required().await?, row, "from the database");
        assert_eq!(Thing::find_by_id(&engine, row.id).required().await?, row, "from memory");
        assert_eq!(Thing::find_by_uuid(&engine, row.uuid).required().await?, row);
        assert_eq!(Thing::list_by_text(&engine, &row.text).await?[..], [(*row).clone()]);
        assert_eq!(Thing::list_by_stamp(&engine, row.stamp).await?.len(), 1);
        assert_eq!(Thing::list_by_date(&engine, row.date).await?.len(), 1);
        assert_eq!(Thing::list_by_time(&engine, row.time).await?.len(), 1);
        assert_eq!(Thing::list_by_moment(&engine, row.moment).await?.len(), 1);
        assert_eq!(Thing::list_by_kind(&engine, row.kind).await?.len(), 1);
        assert_eq!(Thing::list_by_slug(&engine, &row.slug).await?.len(), 1);
        let filter = Thing::I64.eq(row.i64).and(Thing::F64.eq(row.f64)).and(Thing::BYTES.eq(&row.bytes[..]));
        assert_eq!(Thing::query(&engine).filter(filter).count().await?, 1);
    }
    let first = Thing::query(&engine).order_by(Thing::STAMP.asc()).first().required().await?;
    assert_eq!(first.i8, i8::MIN, "times sort as text");
    assert_eq!(Thing::query(&engine).filter(Thing::MORE.is_null()).count().await?, 1);
    assert_eq!(Thing::query(&engine).filter(Thing::TYPE.eq(None)).count().await?, 1);
    Ok(())
}

#[tokio::test]
async fn times_finer_than_a_microsecond_are_cut_the_same_way_everywhere() -> pie::Result<()> {
    let engine = engine().await;
    let fine = stamp("2026-11-22T12:00:00.123456789Z");
    assert!(Thing::list_by_stamp(&engine, fine).await?.is_empty());
    let row = Thing::insert(&engine, NewThing { stamp: fine, ..small(1) }).await?;
    let micros = stamp("2026-11-22T12:00:00.123456Z");
    if is_mongodb() {
        // What is stored has milliseconds. A finer time is another one, and stands between two of them.
        assert_eq!(row.stamp, stamp("2026-11-22T12:00:00.123Z"));
        assert!(Thing::list_by_stamp(&engine, fine).await?.is_empty());
        let count = async |filter| Thing::query(&engine).filter(filter).count().await;
        assert_eq!(count(Thing::STAMP.ne(fine)).await?, 1);
        assert_eq!(count(Thing::STAMP.in_([fine, row.stamp])).await?, 1);
        assert_eq!(count(Thing::STAMP.not_in([fine])).await?, 1);
        for (filter, below) in [
            (Thing::STAMP.lt(fine), true),
            (Thing::STAMP.le(fine), true),
            (Thing::STAMP.gt(fine), false),
            (Thing::STAMP.ge(fine), false),
        ] {
            assert_eq!(count(filter.clone()).await?, u64::from(below), "{filter:?}");
            assert_eq!(count(!filter.clone()).await?, u64::from(!below), "not {filter:?}");
        }
    } else {
        assert_eq!(row.stamp, micros);
        assert_eq!(Thing::list_by_stamp(&engine, fine).await?.len(), 1, "invalidated under the cut value");
    }
    assert_eq!(Thing::list_by_stamp(&engine, row.stamp).await?.len(), 1);
    Ok(())
}

#[tokio::test]
async fn floats_that_are_equal_share_one_name() -> pie::Result<()> {
    #[derive(Debug, Clone, PartialEq, Model)]
    #[cached]
    struct Point {
        #[pie(id, auto)]
        id: i64,
        #[pie(index)]
        x: f64,
    }
    let engine = engine().await;
    engine.create_tables::<(Point,)>().await?;
    assert_eq!(Point::list_by_x(&engine, 0.0).await?.len(), 0);
    Point::insert(&engine, NewPoint { x: -0.0 }).await?;
    assert_eq!(Point::list_by_x(&engine, 0.0).await?.len(), 1);
    Ok(())
}

#[tokio::test]
async fn what_a_database_cannot_hold_is_refused_by_name_and_what_it_can_comes_back() -> pie::Result<()> {
    let engine = engine().await;
    let year = |year| NaiveDate::from_ymd_opt(year, 1, 1).expect("valid");
    let (nul, which) = ("\0".to_owned(), which());
    let holds_nan = matches!(which, Which::Postgres | Which::MongoDb);
    for (number, (new, column, holds)) in (1..).zip([
        (NewThing { u64: u64::MAX, ..small(1) }, "u64", is_mysql()),
        (NewThing { f64: f64::NAN, ..small(1) }, "f64", holds_nan),
        (NewThing { f32: f32::NAN, ..small(1) }, "f32", holds_nan),
        (NewThing { f64: f64::NEG_INFINITY, ..small(1) }, "f64", !is_mysql()),
        (NewThing { text: nul.clone(), ..small(1) }, "text", which != Which::Postgres),
        (NewThing { json: nul.clone().into(), ..small(1) }, "json", which != Which::Postgres),
        (NewThing { date: year(10_000), ..small(1) }, "date", false),
        (NewThing { date: year(-1), ..small(1) }, "date", false),
    ]) {
        let new = NewThing { uuid: Uuid::from_u128(number), ..new };
        if holds {
            let given = (new.u64, new.f64.to_bits(), new.f32.to_bits(), new.text.clone(), new.json.clone());
            let row = Thing::insert(&engine, new).await?;
            let held = (row.u64, row.f64.to_bits(), row.f32.to_bits(), row.text.clone(), row.json.clone());
            assert_eq!(held, given, "{column}");
            assert!(Thing::delete_by_id(&engine, row.id).await?);
            continue;
        }
        let error = Thing::insert(&engine, new).await.expect_err(column);
        assert_eq!(
            (error.kind(), error.column(), error.model()),
            (ErrorKind::InvalidValue, Some(column), Some("Thing"))
        );
        assert_eq!(error.query(), Some("insert"));
    }
    assert_eq!(Thing::query(&engine).count().await?, 0);
    Ok(())
}

#[tokio::test]
async fn distinct_values_are_told_apart_byte_by_byte_whatever_the_collation() -> pie::Result<()> {
    #[derive(Debug, Clone, Model)]
    #[cached(ttl = "5m")]
    #[pie(table = "words")]
    struct Word {
        #[pie(id, auto)]
        id: i64,
        text: Option<String>,
    }
    let engine = Engine::builder().database(pie_tests::databases::database()).build().await?;
    if which().speaks_sql() {
        let ((before, text), id) = (databases::caseless(), databases::counted_id());
        engine.sql(before).execute().await?;
        engine.sql(&format!("CREATE TABLE words (id {id}, text {text})")).execute().await?;
    }
    let words = [Some("b"), Some("B"), None, Some("a"), Some("b"), None];
    Word::insert_many(&engine, words.map(|text| NewWord { text: text.map(str::to_owned) })).await?;
    let wanted = [None, Some("B"), Some("a"), Some("b")].map(|text| text.map(str::to_owned));
    for _ in 0..2 {
        assert_eq!(*Word::query(&engine).distinct(Word::TEXT).await?, wanted);
    }
    assert_eq!(*Word::query(&engine).offset(1).limit(2).distinct(Word::TEXT).await?, wanted[1..3]);
    assert_eq!(*Word::query(&engine).distinct(Word::ID).await?, [1, 2, 3, 4, 5, 6]);
    Ok(())
}

#[tokio::test]
async fn a_value_of_sixteen_megabytes_comes_back() -> pie::Result<()> {
    let engine = engine().await;
    let mut bytes: Vec<u8> = (0..16 << 20).map(|at: u32| at.to_le_bytes()[1]).collect();
    if is_mongodb() {
        // A document has 16 MiB at most, with everything in it.
        let too_large = Thing::insert(&engine, NewThing { bytes: bytes.clone(), ..small(1) }).await;
        assert_eq!(too_large.expect_err("too large").kind(), ErrorKind::InvalidValue);
        bytes.truncate(16_000_000);
    }
    let row = Thing::insert(&engine, NewThing { bytes: bytes.clone(), ..small(1) }).await?;
    assert!(Thing::find_by_id(&engine, row.id).no_cache().required().await?.bytes == bytes);
    Ok(())
}
