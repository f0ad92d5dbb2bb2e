//! The conformance suite of layers that several processes share.

use std::sync::Arc;
use std::time::{Duration, Instant};

use bytes::Bytes;

use super::conformance::{Found, Maker};
use super::namespace;
use crate::cache::chain::Item;
use crate::cache::stamps::{Snapshot, StampName};
use crate::cache::{CacheLayer, Inbox, Lock, SharedLayer, SharedRead, SharedReply, SharedWrite};

/// Polls until something holds; `false` when it does not within five seconds.
async fn until(mut condition: impl AsyncFnMut() -> bool) -> bool {
    let deadline = Instant::now() + Duration::from_secs(5);
    while !condition().await {
        if Instant::now() > deadline {
            return false;
        }
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    true
}

async fn read(layer: &dyn SharedLayer, items: &[&Item], found: &Found) -> Vec<SharedReply> {
    let reads: Vec<SharedRead<'_>> =
        items.iter().map(|item| SharedRead { key: &item.key, names: item.names(), ttl: 60_000 }).collect();
    let replies = found.run("read", layer.read(&reads)).await.unwrap_or_default();
    found
        .unless(replies.len() == items.len(), "`read` gives another number of replies than it was asked for");
    for (item, reply) in items.iter().zip(&replies) {
        found.unless(
            reply.tokens.len() == item.names().len(),
            "`read` gives another number of tokens than the names it was asked for",
        );
    }
    replies
}

async fn one(layer: &dyn SharedLayer, item: &Item, found: &Found) -> SharedReply {
    read(layer, &[item], found).await.pop().unwrap_or_else(|| SharedReply::new(None, Vec::new()))
}

async fn write(layer: &dyn SharedLayer, item: &Item, bytes: &Bytes, ttl: u64, found: &Found) {
    let write = SharedWrite { key: &item.key, bytes, ttl, names: item.names() };
    found.run("write", layer.write(&[write])).await;
}

pub(super) async fn check<L: CacheLayer>(make: &impl Fn() -> L, found: &Found) {
    let prefix = namespace();
    // What each instance hears is given to a chain of its own.
    let (maker, other_maker) = (Maker::new(), Maker::new());
    let (layer, other) = (make(), make());
    let (Some(shared), Some(second)) = (layer.shared(), other.shared()) else {
        return found.unless(false, "`shared` gives the layer itself now and then only");
    };
    let mut listen = true;
    for (shared, maker) in [(shared, &maker), (second, &other_maker)] {
        shared.prefix(&prefix);
        let inbox = Inbox::new(&maker.chain);
        maker.chain.detach();
        let listens = shared.listen(inbox.clone());
        found.run("connect", shared.connect()).await;
        listen &= listens;
        if !listens {
            maker.chain.attach();
        } else {
            let attached = until(async || inbox.is_attached()).await;
            found.unless(attached, "`listen` says that messages come, and never attaches its inbox");
        }
    }
    tokens(shared, &maker, &prefix, found).await;
    bytes(shared, layer.shared().is_some().then_some(&layer), &maker, &prefix, found).await;
    invalidations(shared, &maker, &prefix, found).await;
    locks(shared, second, &maker, &prefix, found).await;
    neighbours((shared, &maker), (second, &other_maker), (&prefix, listen), found).await;
    shared.close();
    second.close();
}

async fn tokens(layer: &dyn SharedLayer, maker: &Maker, prefix: &str, found: &Found) {
    let (a, b) = (maker.item(prefix, "token:a"), maker.item(prefix, "token:b"));
    let first = one(layer, &a, found).await;
    found.unless(first.bytes.is_none(), "`read` gives bytes that nobody wrote");
    let again = one(layer, &a, found).await;
    found.unless(first.tokens == again.tokens, "tokens change although nothing was invalidated");
    let mut distinct = first.tokens.to_vec();
    distinct.sort_unstable();
    distinct.dedup();
    found.unless(distinct.len() == first.tokens.len(), "two names have the same token");
    let other = one(layer, &b, found).await;
    found.unless(first.tokens.first() != other.tokens.first(), "two keys have the same token");
    found.unless(first.tokens.get(1) == other.tokens.get(1), "one name has two tokens");
    found.unless(read(layer, &[], found).await.is_empty(), "`read` of nothing gives something");
    let items: Vec<Item> = (0..300).map(|i| maker.item(prefix, &format!("token:{}", i % 290))).collect();
    let many = read(layer, &items.iter().collect::<Vec<_>>(), found).await;
    let same = many.len() < 300 || (0..10).all(|i| many[i].tokens == many[290 + i].tokens);
    found.unless(same, "one name that is read twice in a call has two tokens");
}

async fn bytes(
    layer: &dyn SharedLayer,
    whole: Option<&impl CacheLayer>,
    maker: &Maker,
    prefix: &str,
    found: &Found,
) {
    let item = maker.item(prefix, "bytes:a");
    one(layer, &item, found).await;
    let odd = Bytes::from((0..=255).cycle().take(1 << 20).collect::<Vec<u8>>());
    for value in [Bytes::from_static(b"first"), Bytes::from_static(b""), odd] {
        write(layer, &item, &value, 60_000, found).await;
        let got = one(layer, &item, found).await.bytes;
        found.unless(
            got.as_ref() == Some(&value),
            "`read` does not give the bytes that were written, as they were",
        );
    }
    if let Some(whole) = whole {
        found.run("delete", whole.delete(&item.key)).await;
        found.unless(one(layer, &item, found).await.bytes.is_none(), "`read` gives bytes that were deleted");
        found.run("delete", whole.delete(&item.key)).await;
    }
    write(layer, &item, &Bytes::from_static(b"short"), 100, found).await;
    let gone = until(async || one(layer, &item, &Found::default()).await.bytes.is_none()).await;
    found.unless(gone, "bytes stay after their time to live");
}

async fn invalidations(layer: &dyn SharedLayer, maker: &Maker, prefix: &str, found: &Found) {
    let (a, b, c) = (maker.item(prefix, "end:a"), maker.item(prefix, "end:b"), maker.item(prefix, "stay:a"));
    let before = read(layer, &[&a, &b, &c], found).await;
    found.run("invalidate", layer.invalidate(std::slice::from_ref(a.name()))).await;
    let after = read(layer, &[&a, &b, &c], found).await;
    let token = |replies: &[SharedReply], item: usize, name: usize| {
        replies.get(item).and_then(|reply| reply.tokens.get(name)).copied()
    };
    found.unless(token(&before, 0, 0) != token(&after, 0, 0), "a name keeps its token after `invalidate`");
    found.unless(
        token(&before, 1, 0) == token(&after, 1, 0) && token(&before, 0, 1) == token(&after, 0, 1),
        "`invalidate` of one name ends the token of another",
    );
    found.run("invalidate_pattern", layer.invalidate_pattern(prefix, "end:*")).await;
    let ended = read(layer, &[&a, &b, &c], found).await;
    let all = token(&ended, 0, 0) != token(&after, 0, 0) && token(&ended, 1, 0) != token(&after, 1, 0);
    // A layer may end more than the pattern says, never less; ending the namespace is a way, which every value depends on.
    let namespace = StampName::new(prefix, "n");
    let covered = all || {
        let mut item = maker.item(prefix, "end:a");
        item.others = Arc::new(item.others.iter().cloned().chain([namespace]).collect());
        one(layer, &item, found).await.tokens.len() == item.names().len()
    };
    found.unless(covered, "a key that matches keeps its token after `invalidate_pattern`");
    found.run("invalidate", layer.invalidate(&[])).await;
}

async fn locks(layer: &dyn SharedLayer, other: &dyn SharedLayer, maker: &Maker, prefix: &str, found: &Found) {
    let item = maker.item(prefix, "lock:a");
    let Some(Lock::Acquired(token)) = found.run("lock", layer.lock(&item.key, 60_000)).await else {
        return found.unless(false, "`lock` does not give a lock that nobody has");
    };
    if token == [0; 16] {
        // The layer has no locks.
        return;
    }
    let held = matches!(found.run("lock", other.lock(&item.key, 60_000)).await, Some(Lock::Held(_)));
    found.unless(held, "`lock` gives two instances the same lock at once");
    found.run("unlock", other.unlock(&item.key, [7; 16])).await;
    let held = matches!(found.run("lock", other.lock(&item.key, 60_000)).await, Some(Lock::Held(_)));
    found.unless(held, "`unlock` with another token gives the lock away");
    found.run("unlock", layer.unlock(&item.key, token)).await;
    let free = matches!(found.run("lock", other.lock(&item.key, 100)).await, Some(Lock::Acquired(_)));
    found.unless(free, "`lock` does not give a lock that was given back");
    let ended = until(async || matches!(layer.lock(&item.key, 60_000).await, Ok(Lock::Acquired(_)))).await;
    found.unless(ended, "a lock does not end with its lease");
}

/// Two instances on one store, as two processes have them.
async fn neighbours(
    (layer, maker): (&dyn SharedLayer, &Maker),
    (other, other_maker): (&dyn SharedLayer, &Maker),
    (prefix, listens): (&str, bool),
    found: &Found,
) {
    let item = maker.item(prefix, "both:a");
    let (mine, theirs) = (one(layer, &item, found).await, one(other, &item, found).await);
    found.unless(
        mine.tokens == theirs.tokens,
        "two instances on one store have different tokens for one name",
    );
    let value = Bytes::from_static(b"both");
    write(layer, &item, &value, 60_000, found).await;
    let got = one(other, &item, found).await.bytes;
    found.unless(
        got.as_ref() == Some(&value),
        "what one instance writes, another on the same store does not read",
    );
    let stamps = &other_maker.chain.stamps;
    let snapshot: Snapshot = stamps.snapshot(item.names());
    found.run("invalidate", layer.invalidate(std::slice::from_ref(item.name()))).await;
    let after = one(other, &item, found).await;
    found.unless(
        after.tokens.first() != theirs.tokens.first(),
        "what one instance invalidates, another on the same store still has a token for",
    );
    let heard = !listens || until(async || !stamps.holds(snapshot.as_ref())).await;
    found.unless(heard, "an instance that listens does not hear what another one invalidates");
}
