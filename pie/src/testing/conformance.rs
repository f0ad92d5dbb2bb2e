//! The conformance suite: what every layer has to do, tried one by one.

use std::fmt;
use std::future::Future;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use bytes::Bytes;

use super::{ManualClock, shared};
use crate::cache::chain::{Chain, ChainConfig, Item};
use crate::cache::entry::Times;
use crate::cache::rules::{Limits, Rules};
use crate::cache::{CacheLayer, Entry, LayerUsage, Peek, manual};
use crate::clock::Clock;
use crate::error::Result;

/// What a layer does wrong; empty never.
#[derive(Clone, PartialEq, Eq)]
pub struct Violations(Vec<String>);

impl Violations {
    /// One sentence for each rule that is broken.
    pub fn iter(&self) -> impl Iterator<Item = &str> {
        self.0.iter().map(String::as_str)
    }
}

impl fmt::Display for Violations {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "the layer breaks {} of the rules of `CacheLayer`:", self.0.len())?;
        self.0.iter().try_for_each(|violation| write!(f, "\n- {violation}"))
    }
}

impl fmt::Debug for Violations {
    // What `unwrap` in a test prints.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl std::error::Error for Violations {}

/// Tries everything a layer has to do, on layers that `make` makes.
///
/// A layer of this process: what is stored is given back and nothing else; replacing, deleting what is not there, and
/// emptying count right, also from many threads at once; what is past its time is freed; keys that differ anywhere are apart.
/// A shared layer: tokens come into being, stay, and end when they are invalidated; bytes come back as they were, and go with
/// their time to live; locks keep others out; what one instance does, another one sees and hears. For a shared layer `make` has
/// to give layers on the same store.
///
/// Takes a few seconds at most. Needs a runtime of tokio with time.
///
/// # Errors
/// The rules that are broken, all of them.
///
/// # Examples
///
/// ```
/// use pie::testing::{MapLayer, check_layer};
///
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() {
/// check_layer(MapLayer::new).await.unwrap();
/// # }
/// ```
pub async fn check_layer<L: CacheLayer>(make: impl Fn() -> L) -> std::result::Result<(), Violations> {
    let found = Found::default();
    if make().shared().is_some() {
        shared::check(&make, &found).await;
    } else {
        names(&make(), &found);
        values(&make(), &found).await;
        counts(&make(), &found).await;
        times(&make(), &found).await;
        apart(&make(), &found).await;
        crowds(make(), &found).await;
    }
    let found = found.0.into_inner().unwrap_or_else(PoisonError::into_inner);
    if found.is_empty() { Ok(()) } else { Err(Violations(found)) }
}

/// The violations so far.
#[derive(Default)]
pub(super) struct Found(Mutex<Vec<String>>);

impl Found {
    /// Notes a rule that is broken, once.
    pub(super) fn unless(&self, holds: bool, rule: &str) {
        let mut all = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if !holds && !all.iter().any(|known| known == rule) {
            all.push(rule.to_owned());
        }
    }

    /// Runs a call; notes that it failed, panicked or hung, and gives `None` then.
    pub(super) async fn run<T>(&self, what: &str, call: impl Future<Output = Result<T>>) -> Option<T> {
        use futures_util::FutureExt;
        let call = std::panic::AssertUnwindSafe(call).catch_unwind();
        let broken = match tokio::time::timeout(Duration::from_secs(10), call).await {
            Ok(Ok(Ok(value))) => return Some(value),
            Ok(Ok(Err(error))) => format!("`{what}` fails: {error}"),
            Ok(Err(_)) => format!("`{what}` panics"),
            Err(_) => format!("`{what}` does not come back within ten seconds"),
        };
        self.unless(false, &broken);
        None
    }
}

/// Makes keys and entries, as an engine would.
pub(super) struct Maker {
    pub(super) chain: Arc<Chain>,
    now: u64,
}

impl Maker {
    pub(super) fn new() -> Self {
        let clock = Clock::from(&ManualClock::new());
        let now = clock.steady();
        let config = ChainConfig { bits: 10, ..ChainConfig::default() };
        Self { chain: Chain::new(Vec::new(), clock, config), now }
    }

    fn limits() -> Limits {
        Rules::new(Duration::from_secs(60), Duration::ZERO, Duration::ZERO).limits
    }

    pub(super) fn item(&self, scope: &str, key: &str) -> Item {
        match manual::item(&self.chain, scope, &[], key, &[], Self::limits()) {
            Ok(item) => item,
            Err(_) => unreachable!("the suite's own keys are valid"),
        }
    }

    /// An entry that is of use for this many milliseconds.
    fn entry(&self, item: &Item, value: &str, lives: u64) -> Entry {
        let json = serde_json::to_vec(value).unwrap_or_default();
        let payload = manual::payload(Bytes::from(json), Arc::from([]));
        let until = self.now + lives;
        let times = Times { loaded_at: self.now, deadline: until, keep_until: until };
        let snapshot = self.chain.stamps.snapshot(item.names());
        let weight = (item.codec.weigh)(&*payload.value);
        Entry::new(&item.key, payload, weight, times, &snapshot)
    }
}

fn value_of(entry: &Entry) -> Option<String> {
    manual::decode::<String>(entry.value()).ok().map(|value| (*value).clone())
}

/// What a layer has for a key, at once or after waiting.
async fn read(layer: &impl CacheLayer, item: &Item, found: &Found) -> Option<Entry> {
    let peeked = layer.peek(item.key.lookup());
    let got = found.run("get", layer.get(&item.key)).await.flatten();
    match peeked {
        Peek::Ask => {}
        Peek::Miss => found.unless(got.is_none(), "`peek` says that an entry is missing which `get` gives"),
        Peek::Hit(entry) => {
            let same = got.as_ref().is_some_and(|got| value_of(got) == value_of(&entry));
            found.unless(same, "`peek` and `get` give different entries");
        }
    }
    if let Some(entry) = &got {
        found.unless(entry.is_for(item.key.lookup()), "`get` gives the entry of another key");
    }
    got
}

async fn set(layer: &impl CacheLayer, item: &Item, entry: &Entry, found: &Found) {
    found.run("set", layer.set(&item.key, entry)).await;
}

fn names(layer: &impl CacheLayer, found: &Found) {
    found
        .unless(!layer.name().is_empty(), "`name` is empty: statistics could not tell the layer from others");
    found.unless(layer.name() == layer.name(), "`name` changes");
    found.unless(layer.check().is_ok(), "`check` refuses the settings of the layer that the suite was given");
}

async fn values(layer: &impl CacheLayer, found: &Found) {
    let maker = Maker::new();
    let (a, b) = (maker.item("pie:", "user:1"), maker.item("pie:", "user:2"));
    found.unless(read(layer, &a, found).await.is_none(), "an empty layer has an entry");
    set(layer, &a, &maker.entry(&a, "first", 60_000), found).await;
    let got = read(layer, &a, found).await;
    found.unless(
        got.as_ref().and_then(value_of).as_deref() == Some("first"),
        "`get` does not give what was `set`",
    );
    let kept = got.is_none_or(|got| got.keep_until() == maker.entry(&a, "", 60_000).keep_until());
    found.unless(kept, "an entry comes back with another deadline");
    found.unless(read(layer, &b, found).await.is_none(), "`set` of one key makes another one appear");
    set(layer, &a, &maker.entry(&a, "second", 60_000), found).await;
    let got = read(layer, &a, found).await.as_ref().and_then(value_of);
    found.unless(got.as_deref() == Some("second"), "`set` does not replace the entry that was there");
    let large = "x".repeat(1 << 20);
    set(layer, &b, &maker.entry(&b, &large, 60_000), found).await;
    let got = read(layer, &b, found).await.as_ref().and_then(value_of);
    found.unless(got.as_ref() == Some(&large), "an entry of a megabyte does not come back as it was");
    let mut seen = Vec::new();
    if layer.visit(&mut |entry| seen.push(value_of(entry).unwrap_or_default())) {
        seen.sort();
        found.unless(seen == ["second".to_owned(), large], "`visit` does not show every entry exactly once");
    }
    found.run("delete", layer.delete(&a.key)).await;
    found.unless(read(layer, &a, found).await.is_none(), "`get` gives an entry that was deleted");
    found.unless(read(layer, &b, found).await.is_some(), "`delete` of one key removes another");
    found.run("clear", layer.clear()).await;
    found.unless(read(layer, &b, found).await.is_none(), "`get` gives an entry after `clear`");
    // A future that is dropped half-way must leave a layer that works.
    drop(layer.set(&a.key, &maker.entry(&a, "dropped", 60_000)));
    set(layer, &a, &maker.entry(&a, "third", 60_000), found).await;
    let got = read(layer, &a, found).await.as_ref().and_then(value_of);
    found.unless(got.as_deref() == Some("third"), "`set` does nothing after another `set` was dropped");
}

fn entries(usage: LayerUsage, wanted: u64) -> bool {
    usage.entries.is_none_or(|entries| entries == wanted)
}

async fn counts(layer: &impl CacheLayer, found: &Found) {
    let maker = Maker::new();
    let items: Vec<Item> = (0..100).map(|i| maker.item("pie:", &format!("row:{i}"))).collect();
    found.unless(entries(layer.usage(), 0), "`usage` counts entries in an empty layer");
    for item in &items {
        set(layer, item, &maker.entry(item, "value", 60_000), found).await;
    }
    found.unless(entries(layer.usage(), 100), "`usage` does not count the entries that were stored");
    let bytes = layer.usage().bytes;
    found.unless(
        bytes.is_none_or(|bytes| bytes > 0),
        "`usage` says that entries take no bytes: give `None` where it is not known",
    );
    for item in &items {
        set(layer, item, &maker.entry(item, "newer", 60_000), found).await;
    }
    found.unless(entries(layer.usage(), 100), "`usage` counts an entry again when it is replaced");
    for i in 0..50 {
        let missing = maker.item("pie:", &format!("missing:{i}"));
        found.run("delete", layer.delete(&missing.key)).await;
    }
    found.unless(
        entries(layer.usage(), 100),
        "`usage` counts an entry less when one is deleted that is not there",
    );
    for item in &items[..30] {
        found.run("delete", layer.delete(&item.key)).await;
    }
    found.unless(entries(layer.usage(), 70), "`usage` does not count deleted entries less");
    let evicted = layer.usage().evicted;
    found.unless(evicted == 0, "`usage` counts replaced or deleted entries as evicted");
    found.run("clear", layer.clear()).await;
    found.unless(entries(layer.usage(), 0), "`usage` counts entries after `clear`");
    let bytes = layer.usage().bytes;
    found.unless(bytes.is_none_or(|bytes| bytes == 0), "`usage` counts bytes after `clear`");
}

async fn times(layer: &impl CacheLayer, found: &Found) {
    let maker = Maker::new();
    let items: Vec<Item> = (0..50).map(|i| maker.item("pie:", &format!("row:{i}"))).collect();
    for (i, item) in items.iter().enumerate() {
        let lives = if i < 20 { 60_000 } else { 1_000 };
        set(layer, item, &maker.entry(item, "value", lives), found).await;
    }
    layer.expire(maker.now + 999);
    found.unless(entries(layer.usage(), 50), "`expire` frees entries that are still of use");
    layer.expire(maker.now + 1_000);
    let mut left = 0;
    for (i, item) in items.iter().enumerate() {
        let there = read(layer, item, found).await.is_some();
        left += u64::from(there);
        found.unless(there || i >= 20, "`expire` frees entries that are still of use");
    }
    found.unless(
        left <= 20,
        "entries stay after their time to live: implement `expire`, and drop those whose `keep_until` is not after `now`",
    );
    found.unless(entries(layer.usage(), left), "`usage` counts entries that are gone");
    let evicted = layer.usage().evicted;
    found.unless(evicted == 0, "`usage` counts entries that are past their time as evicted");
}

/// Keys that differ only where a careless layer does not look.
async fn apart(layer: &impl CacheLayer, found: &Found) {
    let maker = Maker::new();
    let long = "k".repeat(10_000);
    let items = [
        maker.item("pie:", "user:1"),
        maker.item("pie:~s:tenant:", "user:1"),
        maker.item("shop:", "user:1"),
        maker.item("pie:", "USER:1"),
        maker.item("pie:", "user:1 "),
        maker.item("pie:", "ключ:\u{1f980}\n*?[a]"),
        maker.item("pie:", &long),
        maker.item("pie:", &format!("{long}k")),
    ];
    for (i, item) in items.iter().enumerate() {
        set(layer, item, &maker.entry(item, &i.to_string(), 60_000), found).await;
    }
    for (i, item) in items.iter().enumerate() {
        let got = read(layer, item, found).await.as_ref().and_then(value_of);
        found.unless(
            got == Some(i.to_string()),
            "keys are mixed up that differ in prefix, scope, case or length: look up by the whole `Key::as_str` or `Lookup::bytes`",
        );
    }
}

/// Many threads at once, as an engine has them.
async fn crowds(layer: impl CacheLayer, found: &Found) {
    const THREADS: usize = 4;
    const ROUNDS: usize = 2_000;
    let (layer, maker) = (Arc::new(layer), Arc::new(Maker::new()));
    let threads: Vec<_> = (0..THREADS)
        .map(|thread| {
            let (layer, maker) = (Arc::clone(&layer), Arc::clone(&maker));
            let runtime = tokio::runtime::Handle::current();
            std::thread::spawn(move || {
                let own: Vec<Item> =
                    (0..8).map(|i| maker.item("pie:", &format!("own:{thread}:{i}"))).collect();
                let all: Vec<Item> = (0..8).map(|i| maker.item("pie:", &format!("all:{i}"))).collect();
                let mut wrong = false;
                for round in 0..ROUNDS {
                    let (mine, shared) = (&own[round % own.len()], &all[round % all.len()]);
                    runtime.block_on(async {
                        let entry = maker.entry(mine, &round.to_string(), 60_000);
                        let _ = layer.set(&mine.key, &entry).await;
                        let got = layer.get(&mine.key).await.ok().flatten().as_ref().and_then(value_of);
                        wrong |= got != Some(round.to_string());
                        let _ = layer.set(&shared.key, &maker.entry(shared, "shared", 60_000)).await;
                        if round % 3 == 0 {
                            let _ = layer.delete(&mine.key).await;
                            let _ = layer.delete(&shared.key).await;
                        }
                    });
                }
                wrong
            })
        })
        .collect();
    let done = tokio::task::spawn_blocking(move || {
        threads.into_iter().map(|thread| thread.join().ok()).collect::<Vec<_>>()
    });
    let outcomes = done.await.unwrap_or_default();
    found.unless(outcomes.iter().all(Option::is_some), "calls panic when many threads make them at once");
    found.unless(
        outcomes.iter().all(|wrong| *wrong != Some(true)),
        "with many threads at once, `get` does not give what the same thread `set` before",
    );
    let mut there = 0;
    let keys = (0..THREADS).flat_map(|thread| (0..8).map(move |i| format!("own:{thread}:{i}")));
    for key in keys.chain((0..8).map(|i| format!("all:{i}"))) {
        there += u64::from(read(&*layer, &maker.item("pie:", &key), found).await.is_some());
    }
    found.unless(
        entries(layer.usage(), there),
        "`usage` is wrong after many threads wrote at once: count under the same lock as the change, or with atomics",
    );
}
