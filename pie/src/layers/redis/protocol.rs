//! What pie says to Redis: which commands, in which order, and what their answers mean. How they get there is the wire's.
//!
//! The order is what keeps stale values out: tokens are removed before others are told; nothing is read while an
//! invalidation of this process is unsent; a server that may have forgotten removals is not trusted before the token of
//! the namespace is gone. Reading and storing values is in `exchange`, the lock of a load in `locks`.

use std::borrow::Cow;
use std::collections::HashMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, MutexGuard, OnceLock, PoisonError};
use std::time::Duration;

use redis::{Pipeline, ServerError, Value};
use tokio::sync::watch;
use uuid::Uuid;

use super::full::{Full, Until};
use super::message::{Content, Ears, Message, NAMES_PER_MESSAGE, Publisher};
use super::pending::Pending;
use super::streak::Streak;
use super::wire::{Deadline, Wire, garbled, is_full, refused};
use crate::cache::Inbox;
use crate::cache::stamps::StampName;
use crate::codec::Token;
use crate::error::Result;

/// How many names one UNLINK takes.
const NAMES_PER_UNLINK: usize = 1_000;
/// How many keys one step of a SCAN looks at.
const KEYS_PER_SCAN: usize = 1_000;

/// A name, and which copy of it.
pub(super) type Copied<'n> = (&'n StampName, u8);

/// Text as bytes.
pub(super) struct CowBytes<'t>(pub(super) Cow<'t, str>);

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
    pub(super) wary: Until,
    /// How many reads of one key at a time found its token, one after the other.
    pub(crate) streak: Streak,
    /// The longest stored value that is read, in bytes.
    pub(super) max_value: usize,
    /// Who waits for a lock in this process, by the lock's key.
    pub(super) waiting: Mutex<HashMap<String, watch::Sender<()>>>,
}

pub(super) fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

pub(super) fn random_token() -> Token {
    Uuid::new_v4().into_bytes()
}

pub(super) fn unlink(pipe: &mut Pipeline, names: impl IntoIterator<Item = impl AsRef<[u8]>>) {
    let mut names = names.into_iter().peekable();
    while names.peek().is_some() {
        let command = pipe.cmd("UNLINK");
        for name in names.by_ref().take(NAMES_PER_UNLINK) {
            command.arg(name.as_ref());
        }
    }
}

/// Fails for the first refusal among answers.
pub(super) fn all_done(answers: &[Value]) -> Result<()> {
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
            streak: Streak::default(),
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
        // Who only reads would never find out that a full server has room again.
        if self.full.is_known() && !self.full.is_on() {
            pipe.cmd("SET").arg(format!("{}~room", self.prefix())).arg(number).arg("PX").arg(1_000);
        }
        let answers = self.wire.run(pipe, self.wire.deadline()).await?;
        match answers.get(2) {
            Some(answer) if is_full(answer) => self.full.refused(),
            Some(Value::Okay) => self.full.taken(),
            _ => {}
        }
        if let Some(Value::Array(role)) = answers.get(1)
            && matches!(role.first(), Some(Value::BulkString(role)) if role == b"slave")
        {
            self.wire.distrust(&refused("READONLY"));
        }
        Ok(())
    }

    /// A server comes that may hold tokens that were removed, or the one before it was no master any more: nothing in Redis
    /// is trusted before the namespace has ended there, and nothing in memory that was read from Redis until now.
    pub(crate) fn newcomer(&self) {
        self.pending.remember(&[StampName::new(self.prefix(), "n")]);
        if let Some(inbox) = self.inbox.get().filter(|_| !mistake!(KeepsWhatTheOldOneSaid)) {
            inbox.end();
        }
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
        if pending.is_empty() && due.is_empty() {
            return Ok(());
        }
        // In a box: every read comes by here, and nearly never is there anything to send.
        Box::pin(async move {
            if !pending.is_empty() {
                let names: Vec<StampName> = pending.iter().map(|(name, _)| name.clone()).collect();
                self.send(&names, by).await?;
                self.pending.forget(&pending);
            }
            if !due.is_empty() {
                self.wire.mark(due, by).await;
            }
            Ok(())
        })
        .await
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
}
