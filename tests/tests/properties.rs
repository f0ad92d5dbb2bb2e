//! Properties: random rows and filters give what a plain evaluation over a `Vec` gives; after random writes, cached
//! answers are the uncached ones.
#![allow(clippy::expect_used, clippy::panic, clippy::unwrap_used, reason = "a test fails by panicking")]

use pie::Filter;
use pie::prelude::*;
use pie_tests::databases::{Which, which};
use proptest::prelude::*;

#[derive(Debug, Clone, PartialEq, Model)]
#[cached(ttl = "1h")]
#[pie(index(kind, flag))]
struct Item {
    #[pie(id, auto)]
    id: i64,
    #[pie(unique)]
    code: String,
    #[pie(index)]
    kind: Option<String>,
    number: i64,
    score: Option<f64>,
    flag: bool,
}

fn text() -> impl Strategy<Value = String> {
    // What the database can hold.
    let nul = if which() == Which::Postgres { "a\u{1}b" } else { "a\0b" };
    prop_oneof![
        4 => prop::sample::select(vec!["", "a", "A", "ab", "aB", "b", "a ", "%", "_", "a%", "\\", "\u{e9}", "\u{1F967}", nul, "'", "ba"]).prop_map(str::to_owned),
        1 => "[a-cA-C%_ ]{0,3}",
    ]
}

fn number() -> impl Strategy<Value = i64> {
    prop_oneof![4 => -2..3_i64, 1 => prop::sample::select(vec![i64::MIN, i64::MAX, 0])]
}

fn score() -> impl Strategy<Value = f64> {
    let most = if matches!(which(), Which::MariaDb | Which::MySql) { f64::MAX } else { f64::INFINITY };
    prop::sample::select(vec![0.0, -0.0, 1.5, -1.5, most, 1e-300])
}

#[derive(Debug, Clone)]
enum Node {
    Code(u8, String),
    Kind(u8, Option<String>),
    Number(u8, i64),
    Score(u8, Option<f64>),
    Flag(bool),
    Null(bool, bool),
    InKind(bool, Vec<Option<String>>),
    InNumber(bool, Vec<i64>),
    Text(u8, String),
    And(Vec<Node>),
    Or(Vec<Node>),
    Not(Box<Node>),
}

fn node() -> impl Strategy<Value = Node> {
    let leaf = prop_oneof![
        (0..6_u8, text()).prop_map(|(op, v)| Node::Code(op, v)),
        (0..6_u8, prop::option::of(text())).prop_map(|(op, v)| Node::Kind(op, v)),
        (0..6_u8, number()).prop_map(|(op, v)| Node::Number(op, v)),
        (0..6_u8, prop::option::of(score())).prop_map(|(op, v)| Node::Score(op, v)),
        any::<bool>().prop_map(Node::Flag),
        (any::<bool>(), any::<bool>()).prop_map(|(kind, is)| Node::Null(kind, is)),
        (any::<bool>(), prop::collection::vec(prop::option::of(text()), 0..4))
            .prop_map(|(n, v)| Node::InKind(n, v)),
        (any::<bool>(), prop::collection::vec(number(), 0..4)).prop_map(|(n, v)| Node::InNumber(n, v)),
        (0..4_u8, text()).prop_map(|(op, v)| Node::Text(op, v)),
    ];
    leaf.prop_recursive(3, 16, 3, |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..3).prop_map(Node::And),
            prop::collection::vec(inner.clone(), 0..3).prop_map(Node::Or),
            inner.prop_map(|node| Node::Not(Box::new(node))),
        ]
    })
}

macro_rules! compare {
    ($column:expr, $op:expr, $value:expr) => {
        match $op {
            0 => $column.eq($value),
            1 => $column.ne($value),
            2 => $column.gt($value),
            3 => $column.ge($value),
            4 => $column.lt($value),
            _ => $column.le($value),
        }
    };
}

fn filter(node: &Node) -> Filter<Item> {
    match node {
        Node::Code(op, v) => compare!(Item::CODE, *op, v),
        Node::Kind(op, v) => compare!(Item::KIND, *op, v),
        Node::Number(op, v) => compare!(Item::NUMBER, *op, v),
        Node::Score(op, v) => compare!(Item::SCORE, *op, v),
        Node::Flag(v) => Item::FLAG.eq(*v),
        Node::Null(true, is) => {
            if *is {
                Item::KIND.is_null()
            } else {
                Item::KIND.not_null()
            }
        }
        Node::Null(false, is) => {
            if *is {
                Item::SCORE.is_null()
            } else {
                Item::SCORE.not_null()
            }
        }
        Node::InKind(negated, v) => {
            if *negated {
                Item::KIND.not_in(v)
            } else {
                Item::KIND.in_(v)
            }
        }
        Node::InNumber(negated, v) => {
            if *negated {
                Item::NUMBER.not_in(v)
            } else {
                Item::NUMBER.in_(v)
            }
        }
        Node::Text(0, v) => Item::CODE.starts_with(v),
        Node::Text(1, v) => Item::CODE.ends_with(v),
        Node::Text(2, v) => Item::KIND.contains(v),
        Node::Text(_, v) => Item::KIND.starts_with(v),
        Node::And(parts) => Filter::all(parts.iter().map(filter)),
        Node::Or(parts) => Filter::any(parts.iter().map(filter)),
        Node::Not(inner) => filter(inner).not(),
    }
}

fn ordered<T: PartialOrd>(op: u8, left: Option<&T>, right: Option<&T>) -> Option<bool> {
    // `= NULL` and `<> NULL` mean `IS NULL` and `IS NOT NULL`.
    match (op, right) {
        (0, None) => return Some(left.is_none()),
        (1, None) => return Some(left.is_some()),
        _ => {}
    }
    let (left, right) = (left?, right?);
    Some(match op {
        0 => left == right,
        1 => left != right,
        2 => left > right,
        3 => left >= right,
        4 => left < right,
        _ => left <= right,
    })
}

/// SQL's logic: `None` is unknown.
fn all(parts: impl Iterator<Item = Option<bool>>) -> Option<bool> {
    let mut unknown = false;
    for part in parts {
        match part {
            Some(false) => return Some(false),
            None => unknown = true,
            Some(true) => {}
        }
    }
    (!unknown).then_some(true)
}

fn matches(node: &Node, item: &Item) -> Option<bool> {
    match node {
        Node::Code(op, v) => ordered(*op, Some(&item.code), Some(v)),
        Node::Kind(op, v) => ordered(*op, item.kind.as_ref(), v.as_ref()),
        Node::Number(op, v) => ordered(*op, Some(&item.number), Some(v)),
        Node::Score(op, v) => ordered(*op, item.score.as_ref(), v.as_ref()),
        Node::Flag(v) => Some(item.flag == *v),
        Node::Null(true, is) => Some(item.kind.is_none() == *is),
        Node::Null(false, is) => Some(item.score.is_none() == *is),
        Node::InKind(negated, v) => {
            // `NULL` in the list means: rows whose column is `NULL` are (or are not) meant as well.
            let with_null = v.contains(&None);
            let Some(kind) = &item.kind else {
                return match (v.iter().all(Option::is_none), with_null, *negated) {
                    (true, false, negated) => Some(negated),
                    (_, true, negated) => Some(!negated),
                    (false, false, _) => None,
                };
            };
            Some(v.iter().flatten().any(|other| other == kind) != *negated)
        }
        Node::InNumber(negated, v) => Some(v.contains(&item.number) != *negated),
        Node::Text(0, v) => Some(item.code.starts_with(v.as_str())),
        Node::Text(1, v) => Some(item.code.ends_with(v.as_str())),
        Node::Text(2, v) => text_of(item, v, |kind, v| kind.contains(v)),
        Node::Text(_, v) => text_of(item, v, |kind, v| kind.starts_with(v)),
        Node::And(parts) => all(parts.iter().map(|part| matches(part, item))),
        Node::Or(parts) => all(parts.iter().map(|part| matches(part, item).map(|is| !is))).map(|is| !is),
        Node::Not(inner) => matches(inner, item).map(|is| !is),
    }
}

fn text_of(item: &Item, text: &str, test: impl Fn(&str, &str) -> bool) -> Option<bool> {
    match &item.kind {
        // Every text that is there contains the empty one; a missing one does not.
        kind if text.is_empty() => Some(kind.is_some()),
        Some(kind) => Some(test(kind, text)),
        None => None,
    }
}

fn new_item() -> impl Strategy<Value = (Option<String>, i64, Option<f64>, bool)> {
    (prop::option::of(text()), number(), prop::option::of(score()), any::<bool>())
}

fn block<T>(work: impl Future<Output = T>) -> T {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
    runtime.block_on(work)
}

async fn engine() -> Engine {
    let engine = Engine::builder().database(pie_tests::databases::database()).build().await.expect("builds");
    engine.create_tables::<(Item,)>().await.expect("creates");
    engine
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 150, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn a_filter_means_what_it_says(rows in prop::collection::vec((text(), new_item()), 0..25), nodes in prop::collection::vec(node(), 1..20)) {
        block(async {
            let engine = engine().await;
            let mut codes = std::collections::BTreeSet::new();
            let new: Vec<NewItem> = rows
                .into_iter()
                .filter(|(code, _)| codes.insert(code.clone()))
                .map(|(code, (kind, number, score, flag))| NewItem { code, kind, number, score, flag })
                .collect();
            let items: Vec<Item> = Item::insert_many(&engine, new).await.expect("inserts").into_iter().map(Cached::into_owned).collect();
            for node in &nodes {
                let expected: Vec<&Item> = items.iter().filter(|item| matches(node, item) == Some(true)).collect();
                for _ in 0..2 {
                    let found = Item::query(&engine).filter(filter(node)).order_by(Item::ID.asc()).await.expect("reads");
                    assert_eq!(found.iter().collect::<Vec<_>>(), expected, "{node:?}");
                    let count = Item::query(&engine).filter(filter(node)).count().await.expect("counts");
                    assert_eq!(count, expected.len() as u64, "{node:?}");
                    let exists = Item::query(&engine).filter(filter(node)).exists().await.expect("looks");
                    assert_eq!(exists, !expected.is_empty(), "{node:?}");
                }
                let limited = Item::query(&engine).filter(filter(node)).order_by(Item::ID.desc()).limit(3).offset(1).await.expect("reads");
                let kinds = Item::query(&engine).filter(filter(node)).distinct(Item::KIND).await.expect("reads");
                let distinct: std::collections::BTreeSet<&Option<String>> = expected.iter().map(|item| &item.kind).collect();
                assert_eq!(kinds.iter().collect::<Vec<_>>(), distinct.into_iter().collect::<Vec<_>>(), "{node:?}");
                let backwards: Vec<&Item> = expected.iter().rev().skip(1).take(3).copied().collect();
                assert_eq!(limited.iter().collect::<Vec<_>>(), backwards);
            }
        });
    }
}

#[derive(Debug, Clone)]
enum Write {
    Insert(String, (Option<String>, i64, Option<f64>, bool)),
    Upsert(String, (Option<String>, i64, Option<f64>, bool)),
    Kind(i64, Option<String>),
    Code(i64, String),
    Number(i64, i64),
    Delete(i64),
    UpdateWhere(Node, Option<String>),
    DeleteWhere(Node),
    Transaction(Vec<Write>, bool),
}

fn write() -> impl Strategy<Value = Write> {
    let leaf = prop_oneof![
        (text(), new_item()).prop_map(|(code, item)| Write::Insert(code, item)),
        (text(), new_item()).prop_map(|(code, item)| Write::Upsert(code, item)),
        (1..8_i64, prop::option::of(text())).prop_map(|(id, kind)| Write::Kind(id, kind)),
        (1..8_i64, text()).prop_map(|(id, code)| Write::Code(id, code)),
        (1..8_i64, number()).prop_map(|(id, number)| Write::Number(id, number)),
        (1..8_i64).prop_map(Write::Delete),
        (node(), prop::option::of(text())).prop_map(|(node, kind)| Write::UpdateWhere(node, kind)),
        node().prop_map(Write::DeleteWhere),
    ];
    leaf.prop_recursive(1, 4, 3, |inner| {
        (prop::collection::vec(inner, 1..4), any::<bool>())
            .prop_map(|(writes, commit)| Write::Transaction(writes, commit))
    })
}

fn item_of(code: &str, (kind, number, score, flag): &(Option<String>, i64, Option<f64>, bool)) -> NewItem {
    NewItem { code: code.to_owned(), kind: kind.clone(), number: *number, score: *score, flag: *flag }
}

/// Runs a write; a unique violation is a right answer. Whether it was done.
async fn run(on: &impl pie::Handle, write: &Write) -> bool {
    let outcome = match write {
        Write::Insert(code, item) => Item::insert(on, item_of(code, item)).await.map(drop),
        Write::Upsert(code, item) => Item::upsert_by_code(on, item_of(code, item)).await.map(drop),
        Write::Kind(id, kind) => Item::update_by_id(on, *id).kind(kind).await.map(drop),
        Write::Code(id, code) => Item::update_by_id(on, *id).code(code).await.map(drop),
        Write::Number(id, number) => Item::update_by_id(on, *id).number(*number).await.map(drop),
        Write::Delete(id) => Item::delete_by_id(on, *id).await.map(drop),
        Write::UpdateWhere(node, kind) => {
            Item::query(on).filter(filter(node)).update().set(Item::KIND, kind).await.map(drop)
        }
        Write::DeleteWhere(node) => Item::query(on).filter(filter(node)).delete().await.map(drop),
        Write::Transaction(..) => Ok(()),
    };
    assert!(
        outcome.as_ref().is_ok_and(|()| true) || outcome.as_ref().is_err_and(pie::Error::is_unique_violation),
        "{outcome:?}"
    );
    outcome.is_ok()
}

/// Every kind of read, with and without the cache.
async fn agree(engine: &Engine, nodes: &[Node], codes: &[String]) {
    macro_rules! same {
        ($query:expr) => {
            assert_eq!($query.await.expect("reads"), $query.no_cache().await.expect("reads"))
        };
    }
    for id in 1..8 {
        same!(Item::find_by_id(engine, id));
    }
    same!(Item::find_by_ids(engine, &[1, 2, 3, 4, 5, 6, 7]));
    for code in codes {
        same!(Item::find_by_code(engine, code));
        same!(Item::list_by_kind(engine, code).order_by(Item::ID.asc()));
        same!(Item::list_by_kind(engine, code).count());
        same!(Item::list_by_kind(engine, code).distinct(Item::NUMBER));
        same!(Item::list_by_kind(engine, code).named("by_hand").order_by(Item::ID.asc()));
        same!(Item::list_by_kind_and_flag(engine, code, true).order_by(Item::ID.desc()).limit(2));
    }
    same!(Item::list_by_kind(engine, None).order_by(Item::ID.asc()));
    same!(Item::list_by_kind_and_flag(engine, None, false).exists());
    same!(Item::query(engine).count());
    same!(Item::query(engine).distinct(Item::KIND));
    for node in nodes {
        same!(Item::query(engine).filter(filter(node)).order_by(Item::ID.asc()));
        same!(Item::query(engine).filter(filter(node)).order_by(Item::ID.asc()).page(1, 3));
        same!(
            Item::query(engine)
                .filter(filter(node))
                .order_by(Item::NUMBER.asc())
                .order_by(Item::ID.asc())
                .first()
        );
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 60, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn cached_answers_are_the_uncached_ones(
        writes in prop::collection::vec(write(), 1..25),
        nodes in prop::collection::vec(node(), 0..4),
        codes in prop::collection::vec(text(), 0..4),
    ) {
        block(async {
            let engine = engine().await;
            agree(&engine, &nodes, &codes).await;
            for step in &writes {
                if let (Write::Transaction(inner, _), false) = (step, engine.has_transactions()) {
                    for step in inner {
                        run(&engine, step).await;
                        agree(&engine, &nodes, &codes).await;
                    }
                } else if let Write::Transaction(inner, commit) = step {
                    let tx = engine.begin().await.expect("begins");
                    for step in inner {
                        if which() == Which::Postgres {
                            // There what is refused ends the transaction, if it is not in a savepoint.
                            let part = tx.savepoint().await.expect("begins");
                            if run(&part, step).await {
                                part.commit().await.expect("is a part");
                            } else {
                                part.rollback().await.expect("is undone");
                            }
                        } else {
                            run(&tx, step).await;
                        }
                    }
                    if *commit { tx.commit().await.expect("commits") } else { tx.rollback().await.expect("rolls back") }
                } else {
                    run(&engine, step).await;
                }
                agree(&engine, &nodes, &codes).await;
            }
            let stats = engine.cache().stats();
            assert!(stats.total > 0);
        });
    }
}
