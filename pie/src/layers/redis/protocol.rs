//! What pie says to Redis: which commands, in which order, and what their answers mean. How they get there is the wire's.
//!
//! The order is what keeps stale values out: tokens are removed before others are told; nothing is read while an
//! invalidation of this process is unsent; a server that may have forgotten removals is not trusted before the token of
//! the namespace is gone.

use std::borrow::Cow;
use std::collections::HashMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, MutexGuard, OnceLock, PoisonError};
use std::time::Duration;

use bytes::Bytes;
use foldhash::fast::RandomState;
use redis::{Pipeline, ServerError, Value};
use smallvec::SmallVec;
use tokio::sync::watch;
use uuid::Uuid;

use super::full::{Full, Until};
use super::layout::Layout;
use super::message::{Content, Ears, Message, NAMES_PER_MESSAGE, Publisher};
use super::pending::Pending;
use super::wire::{Deadline, Wire, garbled, is_foreign, is_full, refused};
use crate::cache::stamps::StampName;
use crate::cache::{Inbox, Key, Lock, SharedRead, SharedReply, SharedWrite};
use crate::codec::Token;
use crate::error::{Error, Result};
use crate::task;

/// How many names one UNLINK takes.
const NAMES_PER_UNLINK: usize = 1_000;
/// How many keys one step of a SCAN looks at.
const KEYS_PER_SCAN: usize = 1_000;
/// How long every read asks for a bounded part of values, after one was too long or a call was late.
const WARY: Duration = Duration::from_secs(60);
/// How much longer than a lookup a call is waited for that nobody waits for.
const PATIENCE: Duration = Duration::from_secs(1);
/// Gives a lock back if it is still the caller's, and wakes who waits for it.
const UNLOCK: &str = "if redis.call('GET', KEYS[1]) == ARGV[1] then redis.call('DEL', KEYS[1]) \
                      redis.call('PUBLISH', ARGV[2], KEYS[1]) return 1 end return 0";

/// How much longer than a value its tokens live, in milliseconds, as a load may take that long without its result being
/// lost: as long as the value itself, from a second to a minute.
fn slack(ttl: u64) -> u64 {
    ttl.clamp(1_000, 60_000)
}

/// How long the tokens of a value live that lives for `ttl` milliseconds.
fn token_ttl(ttl: u64) -> u64 {
    // Redis refuses times beyond what an i64 holds.
    ttl.saturating_add(slack(ttl)).min(1 << 52)
}

/// A name, and which copy of it.
type Copied<'n> = (&'n StampName, u8);

/// Text as bytes.
struct CowBytes<'t>(Cow<'t, str>);

impl AsRef<[u8]> for CowBytes<'_> {
    fn as_ref(&self) -> &[u8] {
        self.0.as_bytes()
    }
}

/// The conversation of one Redis layer.
pub(crate) struct Protocol<W> {
    pub(super) wire: W,
    prefix: OnceLock<Box<str>>,
    inbox: OnceLock<Inbox>,
    publisher: Publisher,
    sequence: AtomicU64,
    ears: Mutex<Ears>,
    /// Whether messages arrive.
    hearing: watch::Sender<bool>,
    /// Names whose tokens are to be removed before anything in Redis is trusted again.
    pub(super) pending: Pending,
    /// Whether the server has room.
    pub(super) full: Full,
    /// While it is on, values are asked for up to the limit, instead of whole.
    wary: Until,
    /// The longest stored value that is read, in bytes.
    max_value: usize,
    /// Who waits for a lock in this process, by the lock's key.
    waiting: Mutex<HashMap<String, watch::Sender<()>>>,
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

fn random_token() -> Token {
    Uuid::new_v4().into_bytes()
}

fn as_token(value: &Value) -> Option<Token> {
    match value {
        Value::BulkString(bytes) => bytes.as_slice().try_into().ok(),
        _ => None,
    }
}

/// Creates a token unless there is one, and returns the one there was.
fn create(pipe: &mut Pipeline, name: &str, token: &Token, ttl: u64) {
    pipe.cmd("SET").arg(name).arg(&token[..]).arg("NX").arg("GET").arg("PX").arg(token_ttl(ttl));
}

fn unlink(pipe: &mut Pipeline, names: impl IntoIterator<Item = impl AsRef<[u8]>>) {
    let mut names = names.into_iter().peekable();
    while names.peek().is_some() {
        let command = pipe.cmd("UNLINK");
        for name in names.by_ref().take(NAMES_PER_UNLINK) {
            command.arg(name.as_ref());
        }
    }
}

/// Fails for the first refusal among answers.
fn all_done(answers: &[Value]) -> Result<()> {
    match answers.iter().find_map(refusal) {
        Some(refusal) => Err(refused(refusal.code())),
        None => Ok(()),
    }
}

fn refusal(answer: &Value) -> Option<&ServerError> {
    match answer {
        Value::ServerError(refusal) => Some(refusal),
        _ => None,
    }
}

impl<W: Wire> Protocol<W> {
    /// `max_value` is the longest stored value that is read, in bytes.
    pub(crate) fn new(wire: W, max_value: usize) -> Self {
        Self {
            wire,
            prefix: OnceLock::new(),
            inbox: OnceLock::new(),
            publisher: random_token(),
            sequence: AtomicU64::new(0),
            ears: Mutex::default(),
            hearing: watch::Sender::new(false),
            pending: Pending::default(),
            full: Full::new(),
            wary: Until::new(),
            max_value,
            waiting: Mutex::default(),
        }
    }

    pub(crate) fn set_prefix(&self, prefix: &str) {
        // The first engine's counts; a layer belongs to one.
        let _ = self.prefix.set(prefix.into());
    }

    pub(crate) fn prefix(&self) -> &str {
        self.prefix.get().map_or("pie:", |prefix| prefix)
    }

    pub(crate) fn set_inbox(&self, inbox: Inbox) {
        let _ = self.inbox.set(inbox);
    }

    pub(crate) fn inbox(&self) -> Option<&Inbox> {
        self.inbox.get()
    }

    /// The channel of invalidations.
    pub(crate) fn channel(&self) -> String {
        format!("{}~m", self.prefix())
    }

    /// The channel of locks that were given back.
    pub(super) fn lock_channel(&self) -> String {
        format!("{}~u", self.prefix())
    }

    /// The channel of this listener's own heartbeats.
    pub(super) fn own_channel(&self) -> String {
        format!("{}~h:{}", self.prefix(), Uuid::from_bytes(self.publisher).simple())
    }

    /// Sends a heartbeat to this process's own listener.
    pub(super) async fn beat(&self, number: u64) -> Result<()> {
        let mut pipe = redis::pipe();
        pipe.cmd("PUBLISH").arg(self.own_channel()).arg(number);
        // A server that is a replica now still answers reads, with what it will soon lose.
        pipe.cmd("ROLE");
        let answers = self.wire.run(pipe, self.wire.deadline()).await?;
        if let Some(Value::Array(role)) = answers.get(1)
            && matches!(role.first(), Some(Value::BulkString(role)) if role == b"slave")
        {
            self.wire.distrust(&refused("READONLY"));
        }
        Ok(())
    }

    /// A shard may hold tokens that were removed: nothing is trusted before the namespace has ended.
    pub(crate) fn newcomer(&self) {
        self.pending.remember(&[StampName::new(self.prefix(), "n")]);
    }

    pub(crate) fn unsent(&self) -> u64 {
        self.pending.len()
    }

    /// Sends what could not be sent before. Names stay pending until Redis has confirmed them, so that no reader trusts
    /// Redis meanwhile; sending one twice costs a miss.
    pub(crate) async fn send_pending(&self, by: Deadline) -> Result<()> {
        // Before looking at what is pending: what they need to be marked is among it, or was sent.
        let due = self.wire.unmarked();
        let pending = self.pending.all();
        if !pending.is_empty() {
            let names: Vec<StampName> = pending.iter().map(|(name, _)| name.clone()).collect();
            self.send(&names, by).await?;
            self.pending.forget(&pending);
        }
        if !due.is_empty() {
            self.wire.mark(due, by).await;
        }
        Ok(())
    }

    fn publish(&self, pipe: &mut Pipeline, content: Content) {
        let message = Message {
            publisher: self.publisher,
            sequence: self.sequence.fetch_add(1, Ordering::Relaxed),
            sent: self.inbox.get().map_or(0, Inbox::wall),
            content,
        };
        pipe.cmd("PUBLISH").arg(self.channel()).arg(message.encode());
    }

    fn publish_names(&self, pipe: &mut Pipeline, names: &[StampName]) {
        for part in names.chunks(NAMES_PER_MESSAGE) {
            self.publish(pipe, Content::Names(part.to_vec()));
        }
    }

    /// Removes tokens, then tells the others. That its user may not tell them was said when it connected.
    async fn send(&self, names: &[StampName], by: Deadline) -> Result<()> {
        if mistake!(PublishFirst) {
            let mut first = redis::pipe();
            self.publish_names(&mut first, names);
            self.wire.run(first, by).await?;
        }
        let mut pipe = redis::pipe();
        let layout = self.wire.layout();
        unlink(&mut pipe, names.iter().flat_map(|name| layout.copies(name)).map(CowBytes));
        let unlinks = pipe.len();
        if mistake!(PublishFirst) {
            return self.wire.run(pipe, by).await.map(|_| ());
        }
        if self.wire.in_order() {
            self.publish_names(&mut pipe, names);
            return all_done(self.wire.run(pipe, by).await?.get(..unlinks).ok_or_else(garbled)?);
        }
        // Nobody is told before every token is gone.
        all_done(&self.wire.run(pipe, by).await?)?;
        let mut pipe = redis::pipe();
        self.publish_names(&mut pipe, names);
        self.wire.run(pipe, by).await.map(|_| ())
    }

    /// Removes tokens and tells the others; what fails is remembered.
    ///
    /// # Errors
    /// Redis could not be reached.
    pub(crate) async fn invalidate(&self, names: &[StampName]) -> Result<()> {
        let sent = self.send(names, self.wire.deadline()).await;
        if sent.is_err() {
            self.pending.remember(names);
        }
        sent
    }

    /// Removes the tokens of keys that match, and tells the others; when it fails the whole scope is remembered.
    ///
    /// # Errors
    /// Redis could not be reached.
    pub(crate) async fn invalidate_pattern(&self, scope: &str, pattern: &str) -> Result<()> {
        let whole = [StampName::new(scope, "n")];
        let sent = self.scan(scope, pattern).await;
        if sent.is_err() {
            self.pending.remember(&whole);
        }
        sent
    }

    async fn scan(&self, scope: &str, pattern: &str) -> Result<()> {
        let shards = self.wire.shards();
        for shard in 0..shards {
            self.scan_one(shard, &self.wire.layout().keys_matching(scope, pattern)).await?;
        }
        if shards != self.wire.shards() {
            // Keys may have moved from one that was not asked yet to one that was.
            return Err(garbled());
        }
        let mut pipe = redis::pipe();
        let (scope, pattern) = (scope.to_owned(), pattern.to_owned());
        self.publish(&mut pipe, Content::Pattern { scope, pattern });
        self.wire.run(pipe, self.wire.deadline()).await.map(|_| ())
    }

    /// Removes the tokens of one shard that match.
    async fn scan_one(&self, shard: usize, matching: &str) -> Result<()> {
        let mut cursor = b"0".to_vec();
        let mut pipe = redis::pipe();
        loop {
            pipe.cmd("SCAN").arg(&cursor).arg("MATCH").arg(matching).arg("COUNT").arg(KEYS_PER_SCAN);
            // A budget for each step: there may be millions of keys.
            let scanned =
                self.wire.run_on(shard, std::mem::take(&mut pipe), self.wire.deadline()).await?.pop();
            let parts = match scanned {
                Some(Value::Array(parts)) => parts,
                Some(Value::ServerError(refusal)) => return Err(refused(refusal.code())),
                _ => return Err(garbled()),
            };
            let [Value::BulkString(next), Value::Array(found)] = &parts[..] else { return Err(garbled()) };
            let found: Vec<&[u8]> = found
                .iter()
                .filter_map(|key| match key {
                    Value::BulkString(key) => Some(key.as_slice()),
                    _ => None,
                })
                .collect();
            cursor.clone_from(next);
            if !found.is_empty() {
                unlink(&mut pipe, found);
                // By their names, not on this shard: a slot may have moved.
                all_done(&self.wire.run(std::mem::take(&mut pipe), self.wire.deadline()).await?)?;
            }
            if cursor == b"0" {
                return Ok(());
            }
        }
    }

    /// Takes in a message of the channel.
    pub(crate) fn receive(&self, bytes: &[u8]) {
        let Some(inbox) = self.inbox.get() else { return };
        let Some(message) = Message::decode(bytes) else {
            // Another version's: it may have invalidated anything.
            inbox.gap();
            return;
        };
        inbox.lag(Duration::from_millis(inbox.wall().saturating_sub(message.sent)));
        if lock(&self.ears).hear(message.publisher, message.sequence) {
            inbox.gap();
        }
        if message.publisher == self.publisher {
            // This process invalidates its own by itself, after Redis did and before the write returns. A second time would
            // end what was loaded since.
            return;
        }
        match message.content {
            Content::Names(names) => inbox.invalidated(&names),
            Content::Pattern { scope, pattern } => inbox.pattern(&scope, &pattern),
        }
    }

    /// Takes in an echo of the own heartbeat.
    pub(super) fn echoed(&self) {
        if lock(&self.ears).echo()
            && let Some(inbox) = self.inbox.get()
        {
            inbox.gap();
        }
    }

    /// The subscription is confirmed.
    pub(crate) fn subscribed(&self) {
        *lock(&self.ears) = Ears::default();
        if let Some(inbox) = self.inbox.get() {
            inbox.attached();
        }
        self.hearing.send_replace(true);
    }

    /// Waits until messages arrive.
    pub(super) async fn hears(&self) {
        let mut watcher = self.hearing.subscribe();
        // The sender lives in `self`.
        let _ = watcher.wait_for(|hearing| *hearing).await;
    }

    /// The subscription is lost.
    pub(crate) fn unsubscribed(&self) {
        self.hearing.send_replace(false);
        if let Some(inbox) = self.inbox.get() {
            inbox.detached();
        }
    }

    /// Reads values and tokens in one round trip; creates tokens that are missing, those of several keys in a second one.
    /// Without room for new tokens, what is there is still read.
    ///
    /// # Errors
    /// Redis did not answer within the time budget, or unsent invalidations could not be sent.
    pub(crate) async fn read(&self, reads: &[SharedRead<'_>]) -> Result<Vec<SharedReply>> {
        let by = self.wire.deadline();
        let outcome = self.read_by(reads, by).await;
        if outcome.is_err() && Deadline::now() >= by {
            // Perhaps because of a value without end under a key of ours.
            self.wary.set(WARY);
        }
        outcome
    }

    async fn read_by(&self, reads: &[SharedRead<'_>], by: Deadline) -> Result<Vec<SharedReply>> {
        self.send_pending(by).await?;

        // Names that several keys share are asked for once. The own name of a key that is read alone comes with its creation:
        // a miss then costs this one trip. Of many keys most are hits, and their own names are asked for like the others.
        let creates = !self.full.is_on();
        let alone = reads.len() == 1 && creates;
        let layout = self.wire.layout();
        let mut place: HashMap<Copied<'_>, usize, RandomState> = HashMap::default();
        let mut asked: Vec<Copied<'_>> = Vec::new();
        // Where the token of each name of each read will be, one after the other.
        let mut places: Vec<usize> = Vec::with_capacity(reads.len() * 4);
        let skipped = usize::from(alone);
        for (at, read) in reads.iter().enumerate() {
            let before = at.checked_sub(1).map(|before| (reads[before].names, places.len()));
            for (i, name) in read.names.iter().enumerate().skip(skipped) {
                // Rows of one model have most names in common, in the same places.
                let copy = layout.copy(name, read.key);
                let known = before.and_then(|(names, end)| {
                    let same = names.get(i).is_some_and(|other| name.is_copy_of(other));
                    same.then(|| places[end + i - names.len()]).filter(|at| asked[*at].1 == copy)
                });
                let found = known.unwrap_or_else(|| {
                    *place.entry((name, copy)).or_insert_with(|| {
                        asked.push((name, copy));
                        asked.len() - 1
                    })
                });
                places.push(found);
            }
        }
        let ttl = reads.iter().map(|read| read.ttl).max().unwrap_or(0);

        let wary = self.wary.is_on();
        let mut pipe = redis::Pipeline::with_capacity(2);
        if wary {
            for read in reads {
                pipe.cmd("GETRANGE").arg(&*layout.key(read.key)).arg(0).arg(self.max_value);
            }
        }
        if !wary || !asked.is_empty() {
            let mget = pipe.cmd("MGET");
            for read in reads.iter().filter(|_| !wary) {
                mget.arg(&*layout.key(read.key));
            }
            for (name, copy) in &asked {
                mget.arg(&*layout.token(name, *copy));
            }
        }
        let mut own = None;
        if alone && let Some(name) = reads[0].names.first() {
            let fresh = random_token();
            create(&mut pipe, &layout.token(name, 0), &fresh, ttl);
            own = Some(fresh);
        }
        let mut replies = self.wire.run(pipe, by).await?.into_iter();
        let mut values: Vec<Value> =
            if wary { replies.by_ref().take(reads.len()).collect() } else { Vec::new() };
        if !wary || !asked.is_empty() {
            match replies.next() {
                Some(Value::Array(more)) if values.is_empty() => values = more,
                Some(Value::Array(more)) => values.extend(more),
                _ => return Err(self.garbled()),
            }
        }
        if values.len() != reads.len() + asked.len() {
            return Err(self.garbled());
        }
        // Whether the own name of a key that is read alone has a token.
        let mut owned = true;
        if let Some(own) = &mut own {
            let reply = replies.next().unwrap_or(Value::Nil);
            match (as_token(&reply), &reply) {
                (Some(existing), _) => *own = existing,
                (None, Value::ServerError(_)) => {
                    owned = false;
                    let name = reads[0].names.first().map(|name| (name, 0));
                    self.not_created(&[(name, &reply)], by).await;
                }
                (None, _) if mistake!(MissingTokenOk) => {
                    if let Some(stored) = stored_token(&values[0]) {
                        *own = stored;
                    }
                }
                (None, _) => self.full.taken(),
            }
        }
        let tails = values.split_off(reads.len());
        let mut tokens: Vec<Option<Token>> = tails.iter().map(as_token).collect();
        // A missing token is a miss, also if the second trip finds one: between the two the server may have been replaced by
        // one that remembers what this one had forgotten.
        let missing: Vec<bool> = tokens.iter().map(Option::is_none).collect();
        if creates && tokens.contains(&None) {
            self.create_missing(&asked, &mut tokens, ttl, by).await?;
        }
        let mut places = places.into_iter();
        let replies = reads.iter().zip(values).map(|(read, value)| {
            let (mut whole, mut known) = (true, owned);
            let mut of_read: SmallVec<[Token; 16]> = SmallVec::new();
            of_read.extend(own);
            for at in places.by_ref().take(read.names.len().saturating_sub(skipped)) {
                whole &= !missing[at];
                match tokens[at] {
                    Some(token) => of_read.push(token),
                    None => known = false,
                }
            }
            if !known {
                // Nothing may be stored, or served, without all of them.
                return match self.full.is_known() {
                    true => SharedReply::new(None, &[][..]),
                    false => SharedReply::failed(),
                };
            }
            let bytes = match value {
                // What GETRANGE says of a key that is not there.
                Value::BulkString(bytes) if wary && bytes.is_empty() => None,
                Value::BulkString(bytes) if whole => Some(self.bounded(bytes)),
                _ => None,
            };
            SharedReply::new(bytes, &of_read[..])
        });
        Ok(replies.collect())
    }

    /// The error of an answer that is none; the server is checked before it is asked again.
    fn garbled(&self) -> Error {
        let error = garbled();
        self.wire.distrust(&error);
        error
    }

    /// Stored bytes, unless there are more than any value of ours has: then none, which is no value.
    fn bounded(&self, bytes: Vec<u8>) -> Bytes {
        if bytes.len() <= self.max_value {
            return Bytes::from(bytes);
        }
        self.wary.set(WARY);
        Bytes::new()
    }

    /// Tokens were not created, because there is no room, or something of another's is in their place, which goes.
    async fn not_created(&self, refusals: &[(Option<Copied<'_>>, &Value)], by: Deadline) {
        if refusals.iter().any(|(_, refusal)| is_full(refusal)) {
            self.full.refused();
        }
        let layout = self.wire.layout();
        let foreign =
            refusals.iter().filter(|(_, refusal)| is_foreign(refusal)).filter_map(|(name, _)| *name);
        let mut pipe = redis::pipe();
        unlink(&mut pipe, foreign.map(|(name, copy)| CowBytes(layout.token(name, copy))));
        if !pipe.is_empty() {
            // The next read tries again.
            let _ = self.wire.run(pipe, by).await;
        }
    }

    /// A second round trip: after an invalidation of a name that many keys share, and for misses among many keys.
    async fn create_missing(
        &self,
        names: &[Copied<'_>],
        tokens: &mut [Option<Token>],
        ttl: u64,
        by: Deadline,
    ) -> Result<()> {
        let missing: Vec<usize> = (0..names.len()).filter(|i| tokens[*i].is_none()).collect();
        let mut pipe = redis::pipe();
        let mut fresh = Vec::with_capacity(missing.len());
        for i in &missing {
            let token = random_token();
            fresh.push(token);
            let (name, copy) = names[*i];
            create(&mut pipe, &self.wire.layout().token(name, copy), &token, ttl);
        }
        let replies = self.wire.run(pipe, by).await?;
        let mut refusals = Vec::new();
        for ((i, fresh), reply) in missing.into_iter().zip(fresh).zip(&replies) {
            match reply {
                Value::ServerError(_) => refusals.push((Some(names[i]), reply)),
                _ => tokens[i] = Some(as_token(reply).unwrap_or(fresh)),
            }
        }
        match refusals.is_empty() {
            true => self.full.taken(),
            false => self.not_created(&refusals, by).await,
        }
        Ok(())
    }

    /// Stores values, and lets their tokens and the server's mark live longer than they do.
    ///
    /// # Errors
    /// Redis could not be reached, or has no room.
    pub(crate) async fn write(&self, writes: &[SharedWrite<'_>]) -> Result<()> {
        if self.full.is_on() {
            return Err(refused("OOM"));
        }
        let mut pipe = redis::pipe();
        let mut longest = 0;
        let layout = self.wire.layout();
        let mut names: HashMap<Copied<'_>, u64> = HashMap::new();
        for write in writes {
            let ttl = write.ttl.min(1 << 52);
            pipe.cmd("SET").arg(&*layout.key(write.key)).arg(&write.bytes[..]).arg("PX").arg(ttl);
            longest = longest.max(ttl);
            for name in write.names {
                let longer = names.entry((name, layout.copy(name, write.key))).or_default();
                *longer = ttl.max(*longer);
            }
        }
        let mut keep = |name: &str, ttl: u64| {
            pipe.cmd("PEXPIRE").arg(name).arg(token_ttl(ttl)).arg("GT");
        };
        for ((name, copy), ttl) in names {
            keep(&layout.token(name, copy), ttl);
        }
        if layout == Layout::Single {
            keep(&format!("{}~run", self.prefix()), longest);
        }
        // Nobody waits for it, and it may be large.
        let by = self.wire.deadline() + PATIENCE;
        let answers = self.wire.run(pipe, by).await?;
        let stored = answers.get(..writes.len()).ok_or_else(garbled)?;
        match stored.iter().any(is_full) {
            true => self.full.refused(),
            false => self.full.taken(),
        }
        // That its user may not prolong tokens was said when it connected.
        all_done(stored)
    }

    /// Takes a lock, or tells how to wait for it.
    ///
    /// # Errors
    /// Redis could not be reached.
    pub(crate) async fn lock(&self, key: &Key, lease: u64) -> Result<Lock> {
        let name = self.lock_key(key);
        // Before asking: who gives it back meanwhile is heard.
        let mut released = self.wait_for(&name);
        let token = random_token();
        let mut pipe = redis::pipe();
        pipe.cmd("SET").arg(&name).arg(&token[..]).arg("NX").arg("PX").arg(lease.max(1));
        pipe.cmd("PTTL").arg(&name);
        match &self.wire.run(pipe, self.wire.deadline()).await?[..] {
            [Value::ServerError(refusal), _] | [_, Value::ServerError(refusal)] => {
                Err(refused(refusal.code()))
            }
            [Value::Nil, Value::Int(-1)] => {
                // Something without an end, which no lock is: another's, and nobody would ever get it.
                let mut pipe = redis::pipe();
                unlink(&mut pipe, [&name]);
                self.wire.run(pipe, self.wire.deadline()).await?;
                Ok(Lock::Held(Box::pin(std::future::ready(()))))
            }
            [Value::Nil, Value::Int(left)] => {
                let left = Duration::from_millis(u64::try_from(*left).unwrap_or(0));
                Ok(Lock::Held(Box::pin(async move {
                    // Until it is given back, or its lease is over because its holder died.
                    task::timeout(left, released.changed()).await;
                })))
            }
            [_, _] => Ok(Lock::Acquired(token)),
            _ => Err(garbled()),
        }
    }

    fn lock_key(&self, key: &Key) -> String {
        [&*self.wire.layout().key(key), "~l"].concat()
    }

    fn wait_for(&self, name: &str) -> watch::Receiver<()> {
        let mut waiting = lock(&self.waiting);
        if waiting.len() > 1_000 {
            waiting.retain(|_, sender| sender.receiver_count() > 0);
        }
        waiting.entry(name.to_owned()).or_insert_with(|| watch::Sender::new(())).subscribe()
    }

    /// Wakes who waits in this process for a lock that was given back.
    pub(super) fn released(&self, name: &[u8]) {
        let Ok(name) = std::str::from_utf8(name) else { return };
        if let Some(sender) = lock(&self.waiting).remove(name) {
            sender.send_replace(());
        }
    }

    /// Gives a lock back.
    ///
    /// # Errors
    /// Redis could not be reached, or allows no scripts; the lock ends with its lease.
    pub(crate) async fn unlock(&self, key: &Key, token: Token) -> Result<()> {
        let mut pipe = redis::pipe();
        pipe.cmd("EVAL").arg(UNLOCK).arg(1).arg(self.lock_key(key)).arg(&token[..]).arg(self.lock_channel());
        all_done(&self.wire.run(pipe, self.wire.deadline()).await?)
    }
}

/// The first token that stored bytes were written under: what the mistake of trusting a missing token needs.
fn stored_token(value: &Value) -> Option<Token> {
    match value {
        Value::BulkString(bytes) => {
            let (envelope, _) = crate::codec::Envelope::open(bytes)?;
            envelope.stamps.first().map(|(_, token)| *token)
        }
        _ => None,
    }
}
