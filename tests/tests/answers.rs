//! Answers from memory are borrowed from it: they stay what they were, wherever they go and whatever becomes of the entry.
#![allow(clippy::expect_used, clippy::panic, reason = "a test fails by panicking")]

use std::sync::Arc;

use pie::prelude::*;
use pie::{Memory, Source};

#[derive(Debug, Clone, PartialEq, Model)]
#[cached(ttl = "5m", tags("rows"))]
struct Row {
    #[pie(id)]
    id: i64,
    #[pie(index)]
    text: String,
}

const fn goes_everywhere<T: Send + Sync + Unpin + 'static>() {}
const _: () = goes_everywhere::<Cached<Row>>();

/// More than a thread can borrow without counting.
const ROWS: i64 = 100;

async fn engine() -> Engine {
    let engine = Engine::builder().database("sqlite::memory:").memory(Memory::default()).build().await;
    let engine = engine.expect("builds");
    engine.create_tables::<(Row,)>().await.expect("creates");
    Row::insert_many(&engine, (1..=ROWS).map(|id| NewRow { id, text: format!("text {id}") }))
        .await
        .expect("inserts");
    for id in 1..=ROWS {
        Row::find_by_id(&engine, id).await.expect("reads");
    }
    engine
}

async fn hit(engine: &Engine, id: i64) -> Cached<Row> {
    let row = Row::find_by_id(engine, id).required().await.expect("reads");
    assert_eq!(row.source(), Source::Memory);
    row
}

#[tokio::test]
async fn many_that_are_held_stay_what_they_were_after_a_write_and_an_eviction() {
    let engine = engine().await;
    let mut held = Vec::new();
    for id in 1..=ROWS {
        held.push(hit(&engine, id).await);
    }
    for id in 1..=ROWS {
        Row::update_by_id(&engine, id).text("new").await.expect("writes");
        assert_eq!(Row::find_by_id(&engine, id).required().await.expect("reads").text, "new");
    }
    engine.cache().layers()[0].evict_all().await.expect("empties");
    // In another thread as well, which gives them back.
    let held = std::thread::spawn(move || {
        for (row, id) in held.iter().zip(1..) {
            assert_eq!((row.id, row.text.clone()), (id, format!("text {id}")));
        }
        held
    })
    .join()
    .expect("ends");
    assert!(held.iter().zip(1..).all(|(row, id)| row.id == id));
    drop(engine);
    assert!(held.iter().zip(1..).all(|(row, id)| row.text == format!("text {id}")), "without the engine too");
}

#[tokio::test]
async fn a_share_a_copy_and_a_value_of_ones_own_are_of_the_same_row() {
    let engine = engine().await;
    let lent = hit(&engine, 7).await;
    let copy = lent.clone();
    assert_eq!((copy.source(), copy.age(), copy.is_stale()), (lent.source(), lent.age(), lent.is_stale()));
    assert_eq!(copy, lent);
    let (one, other) = (lent.into_arc(), hit(&engine, 7).await.into_arc());
    assert!(Arc::ptr_eq(&one, &other) && Arc::ptr_eq(&one, &copy.into_arc()), "one value for all");
    let mut mine = hit(&engine, 7).await.into_owned();
    mine.text.push_str(" and mine");
    assert_eq!((one.text.as_str(), hit(&engine, 7).await.text.as_str()), ("text 7", "text 7"));
    let list = Row::list_by_text(&engine, "text 7").await.expect("reads");
    let again = Row::list_by_text(&engine, "text 7").await.expect("reads");
    assert_eq!((again.source(), &*again), (Source::Memory, &*list));
    assert_eq!((&again).into_iter().map(|row| row.id).collect::<Vec<_>>(), [7]);
}

#[tokio::test]
async fn what_was_evicted_is_freed_when_the_last_answer_goes() {
    let engine = engine().await;
    let held = hit(&engine, 3).await;
    let weak = Arc::downgrade(&hit(&engine, 3).await.into_arc());
    engine.cache().layers()[0].evict_all().await.expect("empties");
    assert_eq!(weak.upgrade().expect("is held").text, held.text);
    drop(held);
    assert!(weak.upgrade().is_none(), "nothing keeps it any more");
}

#[test]
fn threads_that_read_and_write_one_row_see_whole_rows_only() {
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build();
    let runtime = runtime.expect("a runtime");
    runtime.block_on(async {
        let engine = engine().await;
        let mut tasks = tokio::task::JoinSet::new();
        for _ in 0..4 {
            let engine = engine.clone();
            tasks.spawn(async move {
                let mut held: Vec<Cached<Row>> = Vec::new();
                for round in 0..2_000 {
                    let row = Row::find_by_id(&engine, 1).required().await.expect("reads");
                    let number = row.text.strip_prefix("text ").and_then(|rest| rest.parse::<u32>().ok());
                    assert!(number.is_some_and(|number| number >= 1), "{}", row.text);
                    held.push(row);
                    if held.len() > round % 20 {
                        held.clear();
                    }
                    if round % 64 == 0 {
                        tokio::task::yield_now().await;
                    }
                }
            });
        }
        for number in 2..400 {
            Row::update_by_id(&engine, 1).text(format!("text {number}")).await.expect("writes");
        }
        while let Some(ended) = tasks.join_next().await {
            ended.expect("no reader failed");
        }
    });
}
