//! What a value takes in memory: what is counted is what was asked of the allocator.
#![allow(clippy::expect_used, clippy::panic, clippy::unwrap_used, reason = "a test fails by panicking")]

use std::borrow::Cow;
use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

use pie::prelude::*;
use pie::{HeapSize, Value};

/// A newtype of a column.
#[derive(Debug, Clone, PartialEq, Value)]
struct Mail(String);

/// An enum of a column.
#[derive(Debug, Clone, Copy, PartialEq, Value)]
enum Kind {
    Guest,
}

/// A type of `#[pie(json)]` that tells what it holds.
#[derive(Debug, Clone, PartialEq, serde::Serialize, serde::Deserialize, HeapSize)]
enum Contact {
    Mail(String),
    Phone { prefix: u16, number: Option<Box<u64>> },
}

/// One that does not.
#[derive(Debug, Clone, PartialEq, serde::Serialize, serde::Deserialize)]
struct Silent(String);

#[derive(Debug, Clone, PartialEq, Model)]
#[cached(ttl = "5m")]
struct User {
    #[pie(id, auto)]
    id: i64,
    name: String,
    nick: Option<String>,
    photo: Vec<u8>,
    mail: Mail,
    kind: Kind,
    #[pie(json)]
    contacts: Vec<Contact>,
}

#[derive(Debug, Clone, Model)]
#[cached(ttl = "5m")]
struct Note {
    #[pie(id, auto)]
    id: i64,
    #[pie(json)]
    silent: Silent,
}

fn user(length: usize) -> User {
    User {
        id: 1,
        name: "n".repeat(length),
        nick: Some("k".repeat(length / 2)),
        photo: vec![7; length * 3],
        mail: Mail("m".repeat(length + 1)),
        kind: Kind::Guest,
        contacts: vec![
            Contact::Mail("c".repeat(length)),
            Contact::Phone { prefix: 49, number: Some(Box::new(1)) },
        ],
    }
}

/// What a copy of a value takes of the allocator.
fn allocated<T: Clone>(value: &T) -> usize {
    let measured = allocation_counter::measure(|| std::mem::forget(value.clone()));
    usize::try_from(measured.bytes_current).expect("a copy frees nothing")
}

#[test]
fn what_is_counted_is_what_was_allocated() {
    for length in [1, 2, 30, 1_000] {
        let user = user(length);
        assert_eq!(user.clone().heap_size(), allocated(&user), "{length}");
        let many = vec![user.clone(), user];
        assert_eq!(many.clone().heap_size(), allocated(&many));
    }
    let tuple = (Some("text".to_owned()), [vec![1_u64, 2], vec![]], Box::new((1_u8, "x".to_owned())));
    assert_eq!(tuple.clone().heap_size(), allocated(&tuple));
    let cows = [Cow::Borrowed("borrowed"), Cow::Owned("owned".to_owned())];
    assert_eq!(cows.clone().heap_size(), allocated(&cows));
    let shared = Arc::new(vec![1_u16; 10]);
    assert_eq!(shared.heap_size(), allocated(&*shared) + 16 + size_of::<Vec<u16>>());
}

#[test]
fn tables_and_trees_are_estimated_within_half() {
    for count in [1_u64, 10, 100, 1_000] {
        let table: HashMap<u64, String> = (0..count).map(|at| (at, "v".repeat(20))).collect();
        let tree: BTreeMap<u64, String> = (0..count).map(|at| (at, "v".repeat(20))).collect();
        let value: serde_json::Value = (0..count).map(|at| (at.to_string(), "v".repeat(20))).collect();
        let pairs = [
            (table.clone().heap_size(), allocated(&table)),
            (tree.heap_size(), allocated(&tree)),
            (value.heap_size(), allocated(&value)),
        ];
        for (counted, real) in pairs {
            assert!(counted * 3 >= real * 2 && counted * 2 <= real * 3, "{counted} of {real} for {count}");
        }
    }
}

#[tokio::test]
async fn the_budget_counts_it() -> pie::Result<()> {
    let engine = Engine::builder().database("sqlite::memory:").build().await?;
    engine.create_tables::<(User, Note)>().await?;
    let size = async |id: i64| -> pie::Result<u64> {
        engine.cache().clear().await?;
        User::find_by_id(&engine, id).required().await?;
        Ok(engine.cache().holdings().iter().map(|held| held.size).sum())
    };
    for length in [10, 1_000] {
        let User { name, nick, photo, mail, kind, contacts, .. } = user(length);
        User::insert(&engine, NewUser { name, nick, photo, mail, kind, contacts }).await?;
    }
    let (small, large) = (user(10).heap_size(), user(1_000).heap_size());
    assert_eq!(size(2).await? - size(1).await?, (large - small) as u64);
    // A field that does not tell is as large as its JSON: its text and two quotes.
    let note = Note { id: 1, silent: Silent("silent".to_owned()) };
    assert_eq!(note.heap_size(), 8);
    Ok(())
}
