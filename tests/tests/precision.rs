//! What a write does not touch stays cached: of the entries over ids, unique columns and indexes whose answer a write left as it was, at
//! least 95 % survive.
#![allow(
    clippy::expect_used,
    clippy::panic,
    clippy::print_stdout,
    reason = "a test fails by panicking, and tells what it counted"
)]

use pie::prelude::*;
use pie::testing;

const USERS: i64 = 300;
const TEAMS: i64 = 40;
const STATUSES: [&str; 5] = ["new", "active", "away", "gone", "spam"];

#[derive(Debug, Clone, PartialEq, Model)]
#[cached(ttl = "1h")]
#[pie(index(team, status))]
struct User {
    #[pie(id, auto)]
    id: i64,
    #[pie(unique)]
    email: String,
    #[pie(index)]
    team: i64,
    status: String,
    age: Option<i64>,
}

/// A question over an index, by number; its answer as text.
async fn ask(engine: &Engine, question: i64, cached: bool) -> String {
    macro_rules! answer {
        ($query:expr) => {{
            let query = $query;
            let query = if cached { query } else { query.no_cache() };
            format!("{:?}", query.await.expect("reads"))
        }};
    }
    let team = question % TEAMS;
    let status = STATUSES[usize::try_from(question).expect("positive") % STATUSES.len()];
    match question / 100 {
        0..=2 => {
            let row = User::find_by_id(engine, question);
            let row = if cached { row } else { row.no_cache() };
            format!("{:?}", row.await.expect("reads").map(Cached::into_owned))
        }
        3..=5 => {
            let email = (question - 300).to_string();
            let row = User::find_by_email(engine, &email);
            let row = if cached { row } else { row.no_cache() };
            format!("{:?}", row.await.expect("reads").map(Cached::into_owned))
        }
        6 => answer!(User::list_by_team(engine, team).count()),
        7 => answer!(User::list_by_team(engine, team).exists()),
        8 => answer!(User::list_by_team_and_status(engine, team, status).count()),
        _ => {
            let list = User::list_by_team(engine, team).order_by(User::ID.asc()).limit(5);
            let list = if cached { list } else { list.no_cache() };
            format!("{:?}", list.await.expect("reads").iter().collect::<Vec<_>>())
        }
    }
}

const QUESTIONS: i64 = 1_000;

#[tokio::test]
async fn what_a_write_does_not_change_stays_cached() -> pie::Result<()> {
    let engine = Engine::builder()
        .database(pie_tests::databases::database())
        .config(testing::config())
        .build()
        .await?;
    engine.create_tables::<(User,)>().await?;
    let new = |number: i64| NewUser {
        email: number.to_string(),
        team: number % TEAMS,
        status: STATUSES[usize::try_from(number).expect("positive") % STATUSES.len()].into(),
        age: None,
    };
    User::insert_many(&engine, (0..USERS).map(new)).await?;
    let mut answers = Vec::new();
    for question in 0..QUESTIONS {
        answers.push(ask(&engine, question, true).await);
    }
    let (mut untouched, mut survived, mut seed) = (0_u64, 0_u64, 1_u64);
    for step in 0..32_i64 {
        let mut random = |below: i64| {
            seed = seed.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            i64::try_from(seed >> 33).expect("positive") % below
        };
        let id = 1 + random(USERS);
        match step % 8 {
            0 => drop(User::update_by_id(&engine, id).age(step).await?),
            1 => drop(User::update_by_id(&engine, id).team(random(TEAMS)).await?),
            2 => drop(User::update_by_id(&engine, id).status(STATUSES[step as usize % 5]).await?),
            3 => drop(User::insert(&engine, new(1_000 + step)).await?),
            4 => drop(User::delete_by_id(&engine, id).await?),
            5 => drop(User::upsert_by_email(&engine, new(random(USERS))).await?),
            6 => drop(User::query(&engine).filter(User::ID.eq(id)).update().set(User::AGE, step).await?),
            _ if !engine.has_transactions() => {
                User::update_by_id(&engine, id).team(random(TEAMS)).await?;
                User::update_by_id(&engine, 1 + random(USERS)).age(step).await?;
            }
            _ => {
                let tx = engine.begin().await?;
                User::update_by_id(&tx, id).team(random(TEAMS)).await?;
                User::update_by_id(&tx, 1 + random(USERS)).age(step).await?;
                tx.commit().await?;
            }
        }
        for question in 0..QUESTIONS {
            let place = usize::try_from(question).expect("positive");
            let truth = ask(&engine, question, false).await;
            let loads = engine.cache().stats().loads;
            let cached = ask(&engine, question, true).await;
            assert_eq!(cached, truth, "question {question} after step {step}");
            if truth == answers[place] {
                untouched += 1;
                survived += u64::from(engine.cache().stats().loads == loads);
            }
            answers[place] = truth;
        }
    }
    println!("{survived} of {untouched} entries survived that a write did not affect");
    assert!(survived * 100 >= untouched * 95, "{survived} of {untouched}");
    Ok(())
}
