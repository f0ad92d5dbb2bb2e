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

/// Who answered a list, and the ids in it.
fn ids(list: &Cached<Vec<Row>>) -> (Source, Vec<i64>) {
    (list.source(), list.iter().map(|row| row.id).collect())
}

#[tokio::test]
async fn a_list_in_memory_answers_no_query_that_says_more() {
    let engine = engine().await;
    Row::insert_many(&engine, [501, 502, 503].map(|id| NewRow { id, text: "same".into() }))
        .await
        .expect("inserts");
    let list = || Row::list_by_text(&engine, "same");
    list().await.expect("loads");
    assert_eq!(ids(&list().await.expect("reads")), (Source::Memory, vec![501, 502, 503]));

    let ordered = list().order_by(Row::ID.desc()).await.expect("reads");
    assert_eq!(ids(&ordered), (Source::Database, vec![503, 502, 501]));
    assert_eq!(list().limit(2).await.expect("reads").len(), 2);
    assert_eq!(list().limit(0).await.expect("reads").len(), 0);
    assert_eq!(list().offset(1).await.expect("reads").len(), 2);
    assert_eq!(ids(&list().filter(Row::ID.gt(502)).await.expect("reads")), (Source::Database, vec![503]));
    assert_eq!(list().distinct(Row::TEXT).await.expect("reads").as_slice(), ["same"]);
    assert_eq!((list().count().await.expect("reads"), list().exists().await.expect("reads")), (3, true));
    let page = list().order_by(Row::ID.asc()).page(2, 2).await.expect("reads");
    assert_eq!((page.total, page.rows.len()), (3, 1));
    assert_eq!(list().first().await.expect("reads").expect("is there").text, "same");
    assert_eq!(list().one().await.expect_err("are three").kind(), pie::ErrorKind::TooManyRows);
    // What a reader with tags gets dies with them: an entry of its own.
    assert_eq!(ids(&list().tags(["mine"]).await.expect("reads")).0, Source::Database);
    assert_eq!(ids(&list().named("mine").await.expect("reads")).0, Source::Database);
    assert_eq!(ids(&list().no_cache().await.expect("reads")).0, Source::Database);
    assert_eq!(ids(&list().refresh().await.expect("reads")).0, Source::Database);
    // And none of them took the place of the first.
    assert_eq!(ids(&list().await.expect("reads")), (Source::Memory, vec![501, 502, 503]));

    // A row as well; another time to live is the same entry, an age that it may not have is none.
    assert_eq!(
        Row::find_by_id(&engine, 501).await.expect("loads").expect("is there").source(),
        Source::Database
    );
    let row = || Row::find_by_id(&engine, 501).required();
    let long = std::time::Duration::from_secs(600);
    assert_eq!(row().cache(long).await.expect("reads").source(), Source::Memory);
    assert_eq!(row().max_age(std::time::Duration::ZERO).await.expect("reads").source(), Source::Database);
    assert_eq!(row().skip_memory().await.expect("reads").source(), Source::Database);
    assert_eq!(row().tags(["mine"]).await.expect("reads").source(), Source::Database);
}

#[cached(ttl = "5m", key = "signed:{number}")]
async fn signed(engine: &Engine, number: i64) -> pie::Result<Cached<i64>> {
    let _ = engine;
    Ok(number.into())
}

#[cached(ttl = "5m", key = "unsigned:{number}")]
async fn unsigned(engine: &Engine, number: u64) -> pie::Result<Arc<u64>> {
    let _ = engine;
    Ok(number.into())
}

#[cached(ttl = "5m", key = "echo:{text}")]
async fn echo(engine: &Engine, text: &str) -> pie::Result<Cached<String>> {
    let _ = engine;
    Ok(text.to_owned().into())
}

/// One argument that is a number for one call and a text for another.
#[cached(ttl = "5m", key = "any:{what}")]
async fn any<T: pie::CacheKey + ToString + Sync>(engine: &Engine, what: &T) -> pie::Result<Cached<String>> {
    let _ = engine;
    Ok(what.to_string().into())
}

#[tokio::test]
async fn calls_by_short_arguments_never_share_an_answer() {
    let engine = engine().await;
    let numbers = [0, 1, -1, 7, i64::MAX, i64::MIN];
    let texts = ["", "0", "1", "a", "a\0", "\0a", "12345678", "123456789", "1234567", "ä", "%-", "a:b"];
    for source in [Source::Database, Source::Memory] {
        for number in numbers {
            let answer = signed(&engine, number).await.expect("answers");
            assert_eq!((*answer, answer.source()), (number, source));
            assert_eq!(
                *unsigned(&engine, number.cast_unsigned()).await.expect("answers"),
                number.cast_unsigned()
            );
            assert_eq!(*any(&engine, &number).await.expect("answers"), number.to_string());
        }
        for text in texts {
            let answer = echo(&engine, text).await.expect("answers");
            assert_eq!((answer.as_str(), answer.source()), (text, source), "{text:?}");
            assert_eq!(*any(&engine, &text.to_owned()).await.expect("answers"), text);
        }
        assert_eq!(*any(&engine, &u64::MAX).await.expect("answers"), u64::MAX.to_string());
    }
    // Each has the name that people know it by.
    engine.cache().delete("signed:-1").await.expect("deletes");
    engine.cache().delete("echo:12345678").await.expect("deletes");
    for number in numbers {
        let source = signed(&engine, number).await.expect("answers").source();
        assert_eq!(source == Source::Database, number == -1, "{number}");
    }
    for text in texts {
        let source = echo(&engine, text).await.expect("answers").source();
        assert_eq!(source == Source::Database, text == "12345678", "{text:?}");
    }
}

trait Made: Clone + Send + Sync + serde::Serialize + serde::de::DeserializeOwned + 'static {
    fn made(number: i64) -> Self;
}

impl Made for i64 {
    fn made(number: i64) -> Self {
        number
    }
}

impl Made for String {
    fn made(number: i64) -> Self {
        number.to_string()
    }
}

#[cached(ttl = "5m", key = "made:{number}")]
async fn made<T: Made>(engine: &Engine, number: i64) -> pie::Result<Cached<T>> {
    let _ = engine;
    Ok(T::made(number).into())
}

#[tokio::test]
async fn a_generic_function_gives_each_type_its_own_though_they_share_a_key() {
    let engine = engine().await;
    for source in [Source::Database, Source::Memory] {
        let number = made::<i64>(&engine, 5).await.expect("answers");
        assert_eq!((*number, number.source()), (5, source), "who came first has the key");
        let text = made::<String>(&engine, 5).await.expect("answers");
        assert_eq!((text.as_str(), text.source()), ("5", Source::Database), "the body runs");
    }
}
