//! What is MongoDB's own: documents of other programs, ObjectIds, commands, and what it does not have.
#![allow(clippy::expect_used, clippy::panic, clippy::unwrap_used, reason = "a test fails by panicking")]

use std::collections::BTreeSet;

use chrono::{DateTime, NaiveDate, NaiveDateTime, NaiveTime, Utc};
use futures_util::TryStreamExt;
use mongodb::Collection;
use pie::bson::oid::ObjectId;
use pie::bson::{Bson, DateTime as BsonDateTime, Document, doc};
use pie::database::MongoDb;
use pie::prelude::*;
use pie::{ErrorKind, Isolation, TxOptions, assert_loads, assert_statements, testing};
use pie_tests::databases::{self, Which, which};
use serde::{Deserialize, Serialize};
use uuid::Uuid;

/// The same names for serde and for pie.
#[derive(Debug, Clone, PartialEq, Model, Serialize, Deserialize)]
#[cached(ttl = "1h")]
struct User {
    #[pie(id, auto)]
    #[serde(rename = "_id")]
    id: ObjectId,
    #[pie(unique)]
    email: String,
    #[pie(index, column = "state")]
    #[serde(rename = "state")]
    status: String,
    age: Option<i32>,
}

#[derive(Debug, Clone, PartialEq, Model)]
#[cached(ttl = "1h")]
struct Visit {
    #[pie(id, auto)]
    id: i64,
    #[pie(unique)]
    code: Option<String>,
    #[pie(index)]
    place: Option<i64>,
}

#[derive(Debug, Clone, PartialEq, Model)]
#[cached(ttl = "1h")]
struct Member {
    #[pie(id)]
    org: i64,
    #[pie(id)]
    user: String,
    #[pie(index)]
    role: Option<String>,
}

#[derive(Debug, Clone, PartialEq, Model)]
#[cached(ttl = "1h")]
struct Thing {
    #[pie(id)]
    id: Uuid,
    date: NaiveDate,
    time: NaiveTime,
    moment: NaiveDateTime,
    stamp: DateTime<Utc>,
    #[pie(index)]
    number: f64,
    bytes: Vec<u8>,
    #[pie(index)]
    json: serde_json::Value,
}

fn on_mongodb() -> bool {
    which() == Which::MongoDb
}

fn user(email: &str, status: &str) -> NewUser {
    NewUser { email: email.into(), status: status.into(), age: None }
}

/// An engine, and the driver's own view of its database.
async fn set_up() -> (Engine, mongodb::Database) {
    let url = databases::database().url().await;
    let client = mongodb::Client::with_uri_str(&url).await.expect("connects");
    let database = client.default_database().expect("is named");
    // Handed in, as a program would that has one.
    let builder = Engine::builder().database(database.clone()).config(testing::config());
    let engine = builder.build().await.expect("builds");
    engine.create_tables::<(User, Visit, Member, Thing)>().await.expect("creates");
    (engine, database)
}

async fn all(database: &mongodb::Database, collection: &str) -> Vec<Document> {
    let found = database.collection::<Document>(collection).find(doc! {}).await.expect("finds");
    found.try_collect().await.expect("reads")
}

#[tokio::test]
async fn rows_are_documents_that_others_can_read() -> pie::Result<()> {
    if !on_mongodb() {
        return Ok(());
    }
    let (engine, database) = set_up().await;
    let ann = User::insert(&engine, user("ann", "active")).await?.into_owned();
    assert_eq!(
        all(&database, "users").await,
        [doc! { "_id": ann.id, "email": "ann", "state": "active" }],
        "and what is `NULL` is not there"
    );
    // Plain serde agrees, in both directions.
    let users: Collection<User> = database.collection("users");
    assert_eq!(users.find_one(doc! { "email": "ann" }).await.expect("finds"), Some(ann.clone()));
    let bob = User { id: ObjectId::new(), email: "bob".into(), status: "away".into(), age: Some(7) };
    users.insert_one(&bob).await.expect("inserts");
    assert_eq!(User::find_by_id(&engine, bob.id).required().await?, bob);
    assert_eq!(User::find_by_email(&engine, "ann").required().await?, ann);
    let document = doc! { "_id": bob.id, "more": 1, "email": "bob", "state": "away", "age": 7.0 };
    assert_eq!(MongoDb::model::<User>(document)?, bob);

    Member::insert(&engine, NewMember { org: 1, user: "u".into(), role: Some("r".into()) }).await?;
    Visit::insert_many(
        &engine,
        [None, Some("x")].map(|code| NewVisit { code: code.map(str::to_owned), place: Some(5) }),
    )
    .await?;
    assert_eq!(all(&database, "members").await, [doc! { "_id": { "org": 1_i64, "user": "u" }, "role": "r" }]);
    assert_eq!(
        all(&database, "visits").await,
        [doc! { "_id": 1_i64, "place": 5_i64 }, doc! { "_id": 2_i64, "code": "x", "place": 5_i64 }]
    );
    let stamp: DateTime<Utc> = "2026-11-22T12:00:00.123Z".parse().expect("a time");
    let json = serde_json::json!({ "b": [1, 2.0, null, { "a": "x" }], "a": i64::MIN });
    let thing = NewThing {
        id: Uuid::from_u128(1),
        date: NaiveDate::from_ymd_opt(2026, 1, 31).expect("valid"),
        time: NaiveTime::from_hms_micro_opt(1, 2, 3, 40_000).expect("valid"),
        moment: stamp.naive_utc(),
        stamp,
        number: 1.0,
        bytes: vec![0, 255],
        json: json.clone(),
    };
    Thing::insert(&engine, thing).await?;
    let stored = all(&database, "things").await.pop().expect("one");
    let millis = BsonDateTime::from_millis(stamp.timestamp_millis());
    assert_eq!(stored.get_str("date").expect("text"), "2026-01-31");
    assert_eq!(stored.get_str("time").expect("text"), "01:02:03.040000");
    assert_eq!((stored.get("moment"), stored.get("stamp")), (Some(&millis.into()), Some(&millis.into())));
    assert_eq!(stored.get("number"), Some(&Bson::Double(1.0)));
    assert_eq!(
        stored.get("json"),
        Some(&doc! { "a": i64::MIN, "b": [1_i64, 2.0, Bson::Null, { "a": "x" }] }.into())
    );
    assert_eq!(Thing::find_by_id(&engine, Uuid::from_u128(1)).required().await?.json, json);
    Ok(())
}

#[tokio::test]
async fn documents_with_more_or_less_in_them() -> pie::Result<()> {
    if !on_mongodb() {
        return Ok(());
    }
    let (engine, database) = set_up().await;
    let users = database.collection::<Document>("users");
    let id = ObjectId::new();
    users
        .insert_one(doc! { "_id": id, "email": "ann", "state": "a", "age": Bson::Null, "tags": ["x"], "address": { "city": "y" } })
        .await
        .expect("inserts");
    assert_eq!(User::find_by_id(&engine, id).required().await?.age, None);
    // What is not the model's stays as it is, and is no part of it.
    assert_eq!(
        User::update_by_id(&engine, id).status("b").age(Some(3)).await?.expect("is there").age,
        Some(3)
    );
    User::upsert_by_email(&engine, user("ann", "c")).await?;
    assert_eq!(
        all(&database, "users").await,
        [doc! { "_id": id, "email": "ann", "state": "c", "tags": ["x"], "address": { "city": "y" } }],
        "and `NULL` takes the field away"
    );

    for (number, (fields, kind, column)) in [
        (doc! { "state": "tiger" }, ErrorKind::NullValue, "email"),
        (doc! { "email": Bson::Null, "state": "tiger" }, ErrorKind::NullValue, "email"),
        (doc! { "email": 5, "state": "tiger" }, ErrorKind::TypeMismatch, "email"),
        (doc! { "email": ["tiger"], "state": "a" }, ErrorKind::Decode, "email"),
        (doc! { "email": { "tiger": 1 }, "state": "a" }, ErrorKind::Decode, "email"),
        (doc! { "email": "1", "state": "tiger", "age": "tiger" }, ErrorKind::TypeMismatch, "age"),
        (doc! { "email": "2", "state": "tiger", "age": 1.5 }, ErrorKind::TypeMismatch, "age"),
        (doc! { "email": "3", "state": "tiger", "age": 99_999_999_999_i64 }, ErrorKind::Decode, "age"),
        (doc! { "email": "4", "state": "tiger", "age": BsonDateTime::MAX }, ErrorKind::Decode, "age"),
    ]
    .into_iter()
    .enumerate()
    {
        let (id, mut document) = (ObjectId::new(), fields.clone());
        document.insert("_id", id);
        users.insert_one(document).await.expect("inserts");
        for _ in 0..2 {
            let error = User::find_by_id(&engine, id).await.expect_err("refused");
            assert_eq!((error.kind(), error.column()), (kind, Some(column)), "{number}: {error:?}");
            assert_eq!((error.model(), error.query()), (Some("User"), Some("find_by_id")));
            assert!(!format!("{error} {error:?}").contains("tiger"), "{error:?}");
        }
        // What cannot be read can be deleted all the same.
        assert!(User::delete_by_id(&engine, id).await?, "{number}");
        assert!(User::find_by_id(&engine, id).await?.is_none());
    }
    // Numbers are one kind to many programs.
    let id = ObjectId::new();
    users.insert_one(doc! { "_id": id, "email": "5", "state": "a", "age": 5.0 }).await.expect("inserts");
    assert_eq!(User::find_by_id(&engine, id).required().await?.age, Some(5));
    assert_eq!(User::query(&engine).filter(User::AGE.eq(5)).count().await?, 1);
    Ok(())
}

#[tokio::test]
async fn commands_become_models_and_tuples() -> pie::Result<()> {
    if !on_mongodb() {
        return Ok(());
    }
    let (engine, _) = set_up().await;
    User::insert_many(
        &engine,
        [("a", "x"), ("b", "x"), ("c", "y")].map(|(email, status)| user(email, status)),
    )
    .await?;
    Member::insert(&engine, NewMember { org: 1, user: "u".into(), role: None }).await?;
    let find = doc! { "find": "users", "filter": { "state": "x" }, "sort": { "email": 1 } };
    let users: Vec<User> = engine.command(find).all().await?;
    assert_eq!(
        users.iter().map(|user| (&*user.email, user.age)).collect::<Vec<_>>(),
        [("a", None), ("b", None)]
    );
    let member: Option<Member> = engine.command(doc! { "find": "members" }).one().await?;
    assert_eq!(member.expect("one").user, "u");
    let groups =
        [doc! { "$group": { "_id": "$state", "users": { "$sum": 1 } } }, doc! { "$sort": { "_id": 1 } }];
    let groups: Vec<(String, i64)> =
        engine.command(doc! { "aggregate": "users", "pipeline": groups.to_vec() }).all().await?;
    assert_eq!(groups, [("x".to_owned(), 2), ("y".to_owned(), 1)]);
    let count: Option<(i64,)> = engine.command(doc! { "count": "users" }).one().await?;
    assert_eq!(count, Some((3,)));
    let states: Vec<(String,)> = engine.command(doc! { "distinct": "users", "key": "state" }).all().await?;
    assert_eq!(states.into_iter().collect::<BTreeSet<_>>(), BTreeSet::from([("x".into(),), ("y".into(),)]));

    // Reads leave the cache alone; what writes ends everything, or what it says that it touches.
    let read = async || -> pie::Result<()> {
        User::find_by_email(&engine, "a").await?;
        Visit::query(&engine).count().await?;
        Ok(())
    };
    assert_loads!(engine, 2, read().await?);
    engine.command(doc! { "find": "users" }).all::<User>().await?;
    assert_loads!(engine, 0, read().await?);
    let older =
        doc! { "update": "users", "updates": [{ "q": {}, "u": { "$inc": { "age": 1 } }, "multi": true }] };
    assert_eq!(engine.command(older.clone()).touches::<(User,)>().execute().await?, 3);
    assert_loads!(engine, 1, read().await?);
    assert_eq!(engine.command(older).execute().await?, 3);
    assert_loads!(engine, 2, read().await?);
    assert_eq!(User::find_by_email(&engine, "a").required().await?.age, Some(2));
    let change = doc! { "findAndModify": "users", "query": { "email": "a" }, "update": { "$set": { "age": 9 } }, "new": true };
    let changed: Option<User> = engine.command(change).touches::<(User,)>().one().await?;
    assert_eq!(changed.expect("one").age, Some(9));
    assert_eq!(User::find_by_email(&engine, "a").required().await?.age, Some(9));
    let out = doc! { "aggregate": "users", "pipeline": [{ "$out": "copies" }] };
    assert_eq!(engine.command(out).all::<(i64,)>().await?, []);
    assert_loads!(engine, 2, read().await?);

    let few = doc! { "find": "users", "projection": { "state": 1 } };
    let error = engine.command(few.clone()).all::<User>().await.expect_err("too few fields");
    assert_eq!((error.kind(), error.column()), (ErrorKind::MissingColumn, Some("email")));
    let error = engine.command(few).all::<(i64,)>().await.expect_err("two fields");
    assert_eq!(error.kind(), ErrorKind::MissingColumn);
    let error = engine.command(doc! { "noSuchCommand": "tiger" }).execute().await.expect_err("unknown");
    assert_eq!((error.kind(), error.query()), (ErrorKind::Unsupported, Some("sql")), "{error:?}");
    assert!(!format!("{error} {error:?}").contains("tiger"), "{error:?}");
    let twice =
        doc! { "insert": "users", "documents": [{ "_id": 1, "email": "tiger" }, { "_id": 1, "email": "x" }] };
    let error = engine.command(twice).execute().await.expect_err("twice");
    assert!(error.is_unique_violation() && !format!("{error} {error:?}").contains("tiger"), "{error:?}");
    let error = engine.sql("SELECT 1").execute().await.expect_err("no SQL");
    assert_eq!(error.kind(), ErrorKind::Unsupported);
    assert!(error.to_string().contains("`command("), "{error}");
    Ok(())
}

#[tokio::test]
async fn what_a_database_does_not_have_is_said() -> pie::Result<()> {
    /// A name that no field has.
    #[derive(Debug, Clone, PartialEq, Model)]
    struct Dotted {
        #[pie(id)]
        id: i64,
        #[pie(column = "a.b")]
        inner: i64,
    }
    let database = databases::database();
    let unsupported = |error: pie::Error, says: &str| {
        assert_eq!(error.kind(), ErrorKind::Unsupported, "{error:?}");
        assert!(error.to_string().contains(says), "{error}");
    };
    if !on_mongodb() {
        let engine = Engine::builder().database(database).build().await?;
        unsupported(engine.command(doc! { "ping": 1 }).execute().await.expect_err("no commands"), "`sql`");
        unsupported(engine.create_tables::<(User,)>().await.expect_err("no ids"), "without `auto`");
        let builder = Engine::builder().database(databases::database()).models::<(User,)>();
        unsupported(builder.build().await.expect_err("no ids"), "makes no ObjectIds");
        return Ok(());
    }
    let builder = Engine::builder().database(databases::database()).models::<(Dotted,)>();
    unsupported(builder.build().await.expect_err("no such field"), "column = ");
    let engine = Engine::builder().database(database).build().await?;
    unsupported(engine.create_tables::<(Dotted,)>().await.expect_err("no such field"), "column = ");
    if databases::transactions() {
        let options = TxOptions::new().isolation(Isolation::Serializable);
        unsupported(engine.begin_with(options).await.expect_err("no such level"), "repeatable read");
        let tx = engine.begin().await?;
        unsupported(tx.savepoint().await.expect_err("none"), "no savepoints");
        return Ok(());
    }
    assert!(!engine.has_transactions());
    unsupported(engine.begin().await.expect_err("none"), "replica set");
    let none = engine.transaction(|_: Tx| async { Ok(()) }).await;
    unsupported(none.expect_err("none"), "replica set");
    Ok(())
}

#[tokio::test]
async fn ids_that_are_made_and_ids_that_are_there_already() -> pie::Result<()> {
    if !on_mongodb() {
        return Ok(());
    }
    let (engine, database) = set_up().await;
    let ids = User::insert_many(&engine, (0..50).map(|at| user(&at.to_string(), "x"))).await?;
    assert_eq!(ids.iter().map(|user| user.id).collect::<BTreeSet<_>>().len(), 50);
    // Ids are counted up from those that another program wrote before.
    let visits = database.collection::<Document>("visits");
    let new = |code: Option<&str>| NewVisit { code: code.map(str::to_owned), place: None };
    database.collection::<Document>("pie_counters").delete_many(doc! {}).await.expect("deletes");
    visits.insert_one(doc! { "_id": 41 }).await.expect("inserts");
    assert_eq!(Visit::insert(&engine, new(None)).await?.id, 42);
    visits.insert_one(doc! { "_id": 99_i64 }).await.expect("inserts");
    engine.create_tables::<(Visit,)>().await?;
    let rows = Visit::insert_many(&engine, [new(None), new(Some("a"))]).await?;
    assert_eq!(rows.iter().map(|row| row.id).collect::<Vec<_>>(), [100, 101]);
    // `NULL` is no value, also to a unique index: all of these had none.
    assert_eq!(Visit::query(&engine).filter(Visit::CODE.is_null()).count().await?, 4);
    // Many at once, each with an id of its own.
    let many = (0..40).map(|_| {
        let engine = engine.clone();
        tokio::spawn(async move {
            Visit::insert(&engine, NewVisit { code: None, place: Some(1) }).await.map(|row| row.id)
        })
    });
    let mut all = BTreeSet::new();
    for task in many {
        all.insert(task.await.expect("no panic")?);
    }
    assert_eq!(all.len(), 40);
    assert_eq!(Visit::list_by_place(&engine, Some(1)).await?.len(), 40);
    Ok(())
}

#[tokio::test]
async fn an_object_id_is_a_value_in_every_database() -> pie::Result<()> {
    #[derive(Debug, Clone, PartialEq, Model)]
    #[cached(ttl = "1h")]
    struct Token {
        #[pie(id)]
        id: ObjectId,
        #[pie(index)]
        owner: Option<ObjectId>,
        #[pie(unique)]
        next: ObjectId,
    }
    let engine = Engine::builder().database(databases::database()).config(testing::config()).build().await?;
    engine.create_tables::<(Token,)>().await?;
    let (one, two) = (ObjectId::from_bytes([0; 12]), ObjectId::from_bytes([255; 12]));
    assert!(Token::find_by_id(&engine, one).await?.is_none());
    let first = Token::insert(&engine, NewToken { id: one, owner: None, next: two }).await?.into_owned();
    let second =
        Token::insert(&engine, NewToken { id: two, owner: Some(one), next: one }).await?.into_owned();
    for _ in 0..2 {
        assert_eq!(Token::find_by_id(&engine, one).required().await?, first);
        assert_eq!(Token::find_by_next(&engine, one).required().await?, second);
        assert_eq!(Token::list_by_owner(&engine, Some(one)).await?[..], *std::slice::from_ref(&second));
        assert_eq!(Token::list_by_owner(&engine, None).await?[..], *std::slice::from_ref(&first));
        assert_eq!(
            Token::query(&engine).filter(Token::ID.gt(one)).order_by(Token::ID.desc()).await?.len(),
            1
        );
    }
    Token::update_by_id(&engine, two).owner(Some(two)).await?.expect("is there");
    assert!(Token::list_by_owner(&engine, Some(one)).await?.is_empty());
    assert_eq!(Token::list_by_owner(&engine, Some(two)).await?.len(), 1);
    assert!(Token::delete_by_id(&engine, two).await?);
    assert!(Token::find_by_next(&engine, one).await?.is_none());
    Ok(())
}

#[tokio::test]
async fn upserts_of_one_key_at_once_are_one_row() -> pie::Result<()> {
    if !on_mongodb() {
        return Ok(());
    }
    let (engine, database) = set_up().await;
    for round in 0..10 {
        let tasks = (0..8).map(|at| {
            let engine = engine.clone();
            tokio::spawn(async move {
                User::upsert_by_email(&engine, user(&format!("round {round}"), &at.to_string())).await
            })
        });
        let mut ids = BTreeSet::new();
        for task in tasks {
            ids.insert(task.await.expect("no panic")?.id);
        }
        assert_eq!(ids.len(), 1, "one inserts, the others change");
    }
    assert_eq!(all(&database, "users").await.len(), 10);
    // A row with another id is in the way, and is not made another row.
    Member::insert(&engine, NewMember { org: 1, user: "u".into(), role: None }).await?;
    let member = |role: &str| NewMember { org: 1, user: "u".into(), role: Some(role.into()) };
    assert_eq!(Member::list_by_role(&engine, "a").await?.len(), 0);
    assert_eq!(Member::upsert_by_id(&engine, member("a")).await?.role.as_deref(), Some("a"));
    assert_eq!(Member::list_by_role(&engine, "a").await?.len(), 1);
    assert_statements!(engine, 1, Member::upsert_by_id(&engine, member("b")).await?);
    assert_eq!(Member::list_by_role(&engine, "a").await?.len(), 0);
    Ok(())
}

#[tokio::test]
async fn equality_is_that_of_values_and_says_the_same_from_the_cache() -> pie::Result<()> {
    if !on_mongodb() {
        return Ok(());
    }
    let (engine, database) = set_up().await;
    let agree = async |what: &str| {
        macro_rules! same {
            ($query:expr) => {
                assert_eq!($query.await.expect("reads"), $query.no_cache().await.expect("reads"), "{what}")
            };
        }
        for status in ["a", "A", "a ", " a", "ä", "Ä", "", "a\0"] {
            same!(User::list_by_status(&engine, status));
            same!(User::find_by_email(&engine, status));
        }
        for number in [0.0, -0.0, 1.0, 1.5] {
            same!(Thing::list_by_number(&engine, number));
        }
        for json in jsons() {
            same!(Thing::list_by_json(&engine, &json));
            same!(Thing::query(&engine).filter(Thing::JSON.ne(&json)).count());
        }
        for place in [None, Some(0), Some(1)] {
            same!(Visit::list_by_place(&engine, place));
        }
    };
    agree("nothing").await;
    for status in ["a", "A", "a ", " a", "ä", "Ä", "", "a\0"] {
        User::insert(&engine, user(status, status)).await?;
        agree(status).await;
        assert_eq!(User::list_by_status(&engine, status).await?.len(), 1);
    }
    let stamp: DateTime<Utc> = "2026-11-22T12:00:00.123456Z".parse().expect("a time");
    for (at, json) in jsons().into_iter().enumerate() {
        let thing = NewThing {
            id: Uuid::from_u128(at as u128),
            date: NaiveDate::from_ymd_opt(1, 1, 1).expect("valid"),
            time: NaiveTime::MIN,
            moment: stamp.naive_utc(),
            stamp,
            number: [0.0, -0.0, 1.0, 1.5][at % 4],
            bytes: Vec::new(),
            json: json.clone(),
        };
        Thing::insert(&engine, thing).await?;
        agree(&json.to_string()).await;
        let found = Thing::list_by_json(&engine, &json).await?;
        // As MongoDB has it: a number is equal to one of another type.
        let same = jsons()[..=at].iter().filter(|other| number(other) == number(&json)).count();
        assert_eq!(found.len(), same, "{json}");
        assert!(found.iter().any(|thing| thing.json == json), "{json}");
    }
    let all_but_null = jsons().len() as u64 - 1;
    assert_eq!(Thing::query(&engine).filter(Thing::JSON.not_null()).count().await?, all_but_null);
    for json in jsons() {
        let others = Thing::query(&engine).filter(Thing::JSON.ne(&json)).count().await?;
        let same = jsons().iter().filter(|other| number(other) == number(&json)).count() as u64;
        assert_eq!(others, if json.is_null() { all_but_null } else { all_but_null - same }, "{json}");
        let not = Thing::query(&engine).filter(!Thing::JSON.eq(&json)).count().await?;
        assert_eq!(not, others, "{json}");
    }
    let ordered = Thing::query(&engine).filter(Thing::JSON.gt(serde_json::json!(1))).await;
    assert_eq!(ordered.expect_err("no order").kind(), ErrorKind::Unsupported);
    // As another program writes it: a missing field, a null, and a number of another type.
    let visits = database.collection::<Document>("visits");
    visits
        .insert_many([
            doc! { "_id": 1_i64 },
            doc! { "_id": 2_i64, "place": Bson::Null },
            doc! { "_id": 3_i64, "place": 1.0 },
            doc! { "_id": 4_i64, "place": 1 },
        ])
        .await
        .expect("inserts");
    engine.invalidate_all::<Visit>().await?;
    assert_eq!(Visit::list_by_place(&engine, None).await?.len(), 2);
    assert_eq!(Visit::list_by_place(&engine, Some(1)).await?.len(), 2);
    for id in 1..=4 {
        Visit::update_by_id(&engine, id).place(Some(0)).await?.expect("is there");
        agree(&format!("visit {id}")).await;
    }
    assert_eq!(Visit::list_by_place(&engine, Some(0)).await?.len(), 4);
    Ok(())
}

/// With all numbers of one type.
fn number(json: &serde_json::Value) -> String {
    json.to_string().replace(".0", "")
}

/// Values that a database may take for one another.
fn jsons() -> Vec<serde_json::Value> {
    use serde_json::json;
    vec![
        json!(null),
        json!(1),
        json!(1.0),
        json!("1"),
        json!([1]),
        json!([1.0]),
        json!([[1]]),
        // (The server in memory leaves `null` out of arrays when it compares them.)
        json!(["x", { "y": null }]),
        json!([]),
        json!({}),
        json!({ "a": 1 }),
        json!({ "a": 1.0 }),
        json!({ "a": [1, { "b": 2 }] }),
        json!({ "a": [1, { "b": 2.0 }] }),
        json!({ "a": null }),
        json!({ "a": { "$gt": "" } }),
        json!("$email"),
        json!(true),
    ]
}
