//! Whose equality it is: tables of other programs whose columns take several values for one (letter case, accents, trailing blanks), or do
//! not hold all of a value (precision of times and floats), on each database.
//!
//! After each write every cached answer is the uncached one, and a list has the rows with exactly the value that was asked for.
#![allow(clippy::expect_used, clippy::panic, clippy::unwrap_used, reason = "a test fails by panicking")]

use chrono::{DateTime, Utc};
use pie::prelude::*;
use pie::testing;
use pie_tests::databases::{self, Which, which};

#[derive(Debug, Clone, PartialEq, Model)]
#[cached(ttl = "1h")]
struct Odd {
    #[pie(id, auto)]
    id: i64,
    #[pie(unique)]
    code: String,
    #[pie(index)]
    text: Option<String>,
    #[pie(index, column = "number")]
    float: f32,
    #[pie(index, column = "moment")]
    at: DateTime<Utc>,
}

/// The types of the text, the float and the time, as other programs make them.
fn tables() -> Vec<(&'static str, &'static str, &'static str)> {
    match which() {
        Which::Sqlite => vec![
            ("TEXT COLLATE NOCASE", "REAL", "TEXT"),
            ("TEXT COLLATE RTRIM", "REAL", "TEXT"),
            ("VARCHAR(10)", "NUMERIC", "TEXT COLLATE NOCASE"),
        ],
        Which::Postgres => vec![
            ("TEXT", "REAL", "TIMESTAMPTZ"),
            ("TEXT COLLATE caseless", "REAL", "TIMESTAMPTZ(0)"),
            ("TEXT COLLATE \"en-x-icu\"", "DOUBLE PRECISION", "TIMESTAMPTZ(3)"),
            ("VARCHAR(10) COLLATE caseless", "REAL", "TIMESTAMP(0)"),
            ("CHAR(10)", "REAL", "TIMESTAMPTZ"),
        ],
        Which::MariaDb | Which::MySql => vec![
            // The server's own, which knows no letter case and no trailing blanks.
            ("VARCHAR(10)", "FLOAT", "DATETIME(6)"),
            ("VARCHAR(10) CHARACTER SET utf8mb4 COLLATE utf8mb4_general_ci", "DOUBLE", "DATETIME"),
            ("VARCHAR(10) CHARACTER SET utf8mb4 COLLATE utf8mb4_unicode_ci", "FLOAT", "DATETIME(3)"),
            (
                "VARCHAR(10) CHARACTER SET utf8mb4 COLLATE utf8mb4_bin",
                "FLOAT",
                "TIMESTAMP(6) NOT NULL DEFAULT CURRENT_TIMESTAMP(6)",
            ),
            ("VARCHAR(10) CHARACTER SET latin1 COLLATE latin1_swedish_ci", "FLOAT", "DATETIME(6)"),
            ("CHAR(10) CHARACTER SET utf8mb4 COLLATE utf8mb4_general_ci", "FLOAT", "DATETIME(6)"),
        ],
        Which::MongoDb => unreachable!("its documents are in `documents.rs`"),
    }
}

const TEXTS: [Option<&str>; 9] =
    [None, Some(""), Some("a"), Some("A"), Some("a "), Some(" a"), Some("ä"), Some("Ä"), Some(" ")];
const FLOATS: [f32; 5] = [0.0, -0.0, 0.1, 1.5, -1.5];

fn times() -> Vec<DateTime<Utc>> {
    ["12:00:00", "12:00:00.3", "12:00:00.7", "12:00:00.000001", "12:00:00.0000014", "12:00:01"]
        .map(|time| format!("2026-11-22T{time}Z").parse().expect("a time"))
        .to_vec()
}

async fn agree(engine: &Engine, what: &str) {
    macro_rules! same {
        ($query:expr) => {{
            let rows = $query.await.expect("reads");
            assert_eq!(rows, $query.no_cache().await.expect("reads"), "{what}");
            rows
        }};
    }
    for text in TEXTS {
        for row in same!(Odd::list_by_text(engine, text.map(str::to_owned)).order_by(Odd::ID.asc())).iter() {
            assert_eq!(row.text.as_deref(), text, "{what}");
        }
        same!(Odd::list_by_text(engine, text.map(str::to_owned)).count());
    }
    let pair = || Odd::query(engine).filter(Odd::TEXT.in_(["a", "Ä"]));
    for row in same!(pair().order_by(Odd::ID.asc())).iter() {
        assert!(matches!(row.text.as_deref(), Some("a" | "Ä")), "{what}: {row:?}");
    }
    for float in FLOATS {
        for row in same!(Odd::list_by_float(engine, float).order_by(Odd::ID.asc())).iter() {
            assert_eq!(row.float, float, "{what}");
        }
    }
    for at in times() {
        same!(Odd::list_by_at(engine, at).order_by(Odd::ID.asc()));
    }
    for code in ["a", "A", "b", "a "] {
        if let Some(row) = same!(Odd::find_by_code(engine, code)) {
            assert_eq!(row.code, code, "{what}");
        }
    }
    same!(Odd::query(engine).distinct(Odd::TEXT));
}

#[tokio::test]
async fn a_list_has_the_rows_with_exactly_this_value_whatever_the_table_takes_for_equal() -> pie::Result<()> {
    if !which().speaks_sql() {
        return Ok(());
    }
    for (text_type, float, at) in tables() {
        let engine = Engine::builder()
            .database(databases::concurrent_database())
            .config(testing::config())
            .build()
            .await?;
        let table = format!(
            "CREATE TABLE odds (id {}, code {} NOT NULL UNIQUE, text {text_type}, number {float} NOT NULL, moment {at})",
            databases::counted_id(),
            databases::caseless().1,
        );
        engine.sql(databases::caseless().0).execute().await?;
        engine.sql(&table).execute().await?;
        let what = |step: &str| format!("{which:?}, {text_type}, {float}, {at}: {step}", which = which());
        agree(&engine, &what("empty")).await;
        let times = times();
        for (number, text) in TEXTS.iter().enumerate() {
            let new = NewOdd {
                code: format!("{number}"),
                text: text.map(str::to_owned),
                float: FLOATS[number % FLOATS.len()],
                at: times[number % times.len()],
            };
            Odd::insert(&engine, new).await?;
            agree(&engine, &what(&format!("insert of {text:?}"))).await;
        }
        for (number, text) in TEXTS.iter().enumerate() {
            let id = i64::try_from(number).unwrap() + 1;
            let next = TEXTS[(number + 1) % TEXTS.len()].map(str::to_owned);
            Odd::update_by_id(&engine, id).text(next.clone()).float(-0.0).await?;
            agree(&engine, &what(&format!("update of row {id} to {next:?}"))).await;
            let filter = Odd::TEXT.eq(text.map(str::to_owned));
            let at = times[(number + 2) % times.len()];
            Odd::query(&engine).filter(filter).update().set(Odd::AT, at).await?;
            agree(&engine, &what(&format!("update where the text is {text:?}"))).await;
        }
        // The constraint has an equality of its own.
        for code in ["a", "A", "b", "a "] {
            let new = || NewOdd { code: code.into(), text: Some("a".into()), float: 1.5, at: times[0] };
            match Odd::insert(&engine, new()).await {
                Ok(_) => {}
                Err(error) => assert!(error.is_unique_violation(), "{error:?}"),
            }
            agree(&engine, &what(&format!("insert of the code {code:?}"))).await;
            Odd::upsert_by_code(&engine, new()).await?;
            agree(&engine, &what(&format!("upsert of the code {code:?}"))).await;
        }
        for text in ["A", "a "] {
            Odd::query(&engine).filter(Odd::TEXT.eq(text)).delete().await?;
            agree(&engine, &what(&format!("delete where the text is {text:?}"))).await;
        }
        engine.close().await;
    }
    Ok(())
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, pie::Value)]
#[pie(rename_all = "snake_case")]
enum Mood {
    Happy,
    VerySad,
}

#[derive(Debug, Clone, PartialEq, Model)]
#[cached(ttl = "1h")]
struct Person {
    #[pie(id, auto)]
    id: i64,
    #[pie(index)]
    mood: Mood,
    #[pie(index)]
    before: Option<Mood>,
    label: String,
}

#[tokio::test]
async fn an_enum_of_the_database_is_an_enum_of_the_program() -> pie::Result<()> {
    if !which().speaks_sql() {
        return Ok(());
    }
    let (before, mood, label) = match which() {
        Which::Sqlite => ("SELECT 1", "TEXT CHECK (mood IN ('happy', 'very_sad'))", "TEXT"),
        Which::Postgres => ("CREATE TYPE mood AS ENUM ('very_sad', 'happy')", "mood", "mood"),
        Which::MariaDb | Which::MySql => {
            ("SELECT 1", "ENUM('very_sad', 'happy')", "ENUM('very_sad', 'happy')")
        }
        Which::MongoDb => unreachable!("it has no such types"),
    };
    let engine = Engine::builder()
        .database(databases::concurrent_database())
        .config(testing::config())
        .build()
        .await?;
    engine.sql(before).execute().await?;
    let id = databases::counted_id();
    let table = format!(
        "CREATE TABLE persons (id {id}, mood {mood} NOT NULL, before {label}, label {label} NOT NULL)"
    );
    let table = if which() == Which::Postgres { table } else { table.replace("before", "`before`") };
    engine.sql(&table).execute().await?;
    let new = |mood, before| NewPerson { mood, before, label: "happy".into() };
    let rows = [
        new(Mood::Happy, None),
        new(Mood::VerySad, Some(Mood::Happy)),
        new(Mood::Happy, Some(Mood::VerySad)),
    ];
    let rows = Person::insert_many(&engine, rows).await?;
    assert_eq!(
        (rows[1].mood, rows[1].before, rows[1].label.as_str()),
        (Mood::VerySad, Some(Mood::Happy), "happy")
    );
    assert_eq!(Person::list_by_mood(&engine, Mood::Happy).await?.len(), 2);
    assert_eq!(Person::list_by_before(&engine, None).await?.len(), 1);
    Person::update_by_id(&engine, rows[0].id).mood(Mood::VerySad).before(Mood::VerySad).await?;
    assert_eq!(Person::list_by_mood(&engine, Mood::Happy).await?.len(), 1);
    assert_eq!(Person::list_by_before(&engine, Mood::VerySad).await?.len(), 2);
    assert_eq!(Person::query(&engine).filter(Person::LABEL.starts_with("hap")).count().await?, 3);
    assert_eq!(*Person::query(&engine).distinct(Person::MOOD).await?, [Mood::Happy, Mood::VerySad]);
    let error = Person::query(&engine).update().set(Person::LABEL, "tiger").await;
    if which() != Which::Sqlite {
        let error = error.expect_err("no value of the enum");
        assert_eq!(error.kind(), pie::ErrorKind::InvalidValue, "{error:?}");
        assert!(!format!("{error} {error:?}").contains("tiger"));
    }
    Ok(())
}
