//! A cluster: which shard has which slot, commands to the shards that have their keys, all at once.
//!
//! Every shard is a [`Server`] with connections, a breaker and a check of its own. What a shard cannot answer is a refusal of
//! those commands alone; the others stand. A shard that was not known, or came back as another process, may hold tokens that were
//! removed: the namespace counts as not yet invalidated before anything it says is trusted, and its mark is set when that was
//! done (see `Protocol::send_pending`).

use std::collections::HashMap;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError, Weak};
use std::time::Duration;

use futures_util::future::join_all;
use redis::{Arg, AsyncConnectionConfig, Client, Cmd, Pipeline, Value};
use tokio::sync::{Notify, watch};
use tokio::time::Instant;

use super::address::{Address, Dialer};
use super::layout::{Layout, SLOTS, slot, tag_for};
use super::server::{Condition, Limits, Newcomer, Server, Unmarked};
use super::wire::{Deadline, Wire, failed, unreachable_answer};
use crate::error::{Error, ErrorKind, Result};

/// How often the shards are asked who has which slots, when nothing calls for it.
const INTERVAL: Duration = Duration::from_secs(10);
/// The same while a shard cannot be used.
const HURRY: Duration = Duration::from_millis(500);
/// How often at most.
const REST: Duration = Duration::from_millis(100);
/// How many times a command follows a redirection.
const MOST_REDIRECTIONS: usize = 3;

/// Who has which slots.
#[derive(Default)]
struct Map {
    /// The place among the shards; `u16::MAX` for a slot that nobody has.
    slots: Vec<u16>,
    shards: Vec<Arc<Server>>,
}

impl Map {
    fn of(&self, slot: u16) -> Option<&Arc<Server>> {
        self.shards.get(usize::from(*self.slots.get(usize::from(slot))?))
    }
}

/// The servers of a cluster.
pub(super) struct Cluster {
    seeds: Vec<Client>,
    dialer: Dialer,
    limits: Limits,
    prefix: OnceLock<Box<str>>,
    /// What to do before a shard is trusted that may have what was removed.
    newcomer: OnceLock<Newcomer>,
    map: watch::Sender<Option<Arc<Map>>>,
    /// Every server by its address.
    servers: Mutex<HashMap<(String, u16), Arc<Server>>>,
    changed: Arc<Notify>,
    next: AtomicUsize,
    /// Where commands go that any shard takes: each process has its own, so that all have some, and its messages stay in order.
    home: usize,
    started: AtomicBool,
    closed: AtomicBool,
    trouble: Mutex<Option<String>>,
}

/// The key of a command with one, or none.
fn key(command: &Cmd) -> Option<&[u8]> {
    let mut words = command.args_iter().map(|arg| match arg {
        Arg::Simple(word) => word,
        _ => b"",
    });
    match words.next()? {
        b"PUBLISH" | b"ROLE" | b"INFO" | b"SCAN" | b"ASKING" => None,
        b"EVAL" => words.nth(2),
        _ => words.next(),
    }
}

/// The commands that have several keys, as commands of one.
fn parts(command: &Cmd) -> Vec<Cmd> {
    let mut words = command.args_iter().filter_map(|arg| match arg {
        Arg::Simple(word) => Some(word),
        _ => None,
    });
    let single = match words.next() {
        Some(b"MGET") => "GET",
        Some(b"UNLINK") => "UNLINK",
        _ => return vec![command.clone()],
    };
    words.map(|word| redis::cmd(single).arg(word).to_owned()).collect()
}

/// One command of one key on its way.
struct Part {
    command: Cmd,
    /// Its place in the pipeline.
    of: usize,
    /// `None` while no shard has answered.
    answer: Option<Value>,
}

/// What goes to one shard.
struct Group {
    shard: Arc<Server>,
    pipe: Pipeline,
    /// The places of the parts, and whether `ASKING` goes before one.
    places: Vec<(usize, bool)>,
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

fn down(why: Option<&str>) -> Error {
    let why = why.map_or_else(String::new, |why| format!(": {why}"));
    Error::new(ErrorKind::Connection, format!("no server of the Redis cluster could be asked{why}"))
}

impl Cluster {
    pub(super) fn new(seeds: Vec<Client>, dialer: Dialer, limits: Limits) -> Arc<Self> {
        Arc::new(Self {
            seeds,
            dialer,
            limits,
            prefix: OnceLock::new(),
            newcomer: OnceLock::new(),
            map: watch::Sender::new(None),
            servers: Mutex::default(),
            changed: Arc::default(),
            next: AtomicUsize::new(0),
            home: fastrand::usize(..1_024),
            started: AtomicBool::new(false),
            closed: AtomicBool::new(false),
            trouble: Mutex::default(),
        })
    }

    pub(super) fn set_prefix(&self, prefix: &str) {
        let _ = self.prefix.set(prefix.into());
    }

    pub(super) fn on_newcomer(&self, newcomer: Newcomer) {
        let _ = self.newcomer.set(newcomer);
    }

    pub(super) fn close(&self) {
        self.closed.store(true, Ordering::Release);
        self.changed.notify_one();
        lock(&self.servers).values().for_each(|server| server.close());
    }

    /// Begins to find out who has which slots, once.
    fn start(self: &Arc<Self>) {
        if !self.started.swap(true, Ordering::AcqRel) {
            tokio::spawn(Self::watch(Arc::downgrade(self)));
        }
    }

    /// Who has which slots; waits for the first answer.
    async fn map(self: &Arc<Self>) -> Result<Arc<Map>> {
        self.start();
        if let Some(map) = &*self.map.borrow() {
            return Ok(Arc::clone(map));
        }
        let mut watcher = self.map.subscribe();
        // While nobody could be asked, callers do not wait.
        if let Some(why) = &*lock(&self.trouble) {
            return Err(down(Some(why)));
        }
        let found = watcher.wait_for(Option::is_some).await.map_err(|_| down(None))?;
        found.clone().ok_or_else(|| down(None))
    }

    /// Waits until every shard was tried.
    ///
    /// # Errors
    /// The shards are not known, or one cannot be used.
    pub(super) async fn connect(self: &Arc<Self>) -> Result<()> {
        let map = self.map().await?;
        join_all(map.shards.iter().map(|shard| shard.connect())).await.into_iter().collect()
    }

    /// Waits until all shards can be used.
    pub(super) fn up(self: &Arc<Self>) -> impl Future<Output = ()> + Send + use<> {
        let mut watcher = self.map.subscribe();
        async move {
            let Ok(map) = watcher.wait_for(Option::is_some).await.map(|map| map.clone()) else { return };
            if let Some(map) = map {
                join_all(map.shards.iter().map(|shard| shard.up())).await;
            }
        }
    }

    /// The shard of this process, or the next one that can be used.
    fn home<'m>(&self, map: &'m Map) -> Option<&'m Arc<Server>> {
        let all = (0..map.shards.len()).map(|at| &map.shards[(self.home + at) % map.shards.len()]);
        all.clone().find(|shard| shard.is_up()).or_else(|| all.clone().next())
    }

    /// A shard that can be used, one after the other.
    pub(super) async fn any(self: &Arc<Self>) -> Result<Client> {
        let map = self.map().await?;
        let first = self.next.fetch_add(1, Ordering::Relaxed);
        let all = (first..first + map.shards.len()).map(|at| &map.shards[at % map.shards.len()]);
        let mut all: Vec<_> = all.collect();
        all.sort_by_key(|shard| !shard.is_up());
        all.first().and_then(|shard| shard.address().fixed()).ok_or_else(|| down(None))
    }

    pub(super) fn conditions(&self) -> Vec<(String, Condition)> {
        let map = self.map.borrow().clone().unwrap_or_default();
        map.shards.iter().map(|shard| (shard.address().to_string(), shard.condition())).collect()
    }

    /// Asks who has which slots, again and again.
    async fn watch(cluster: Weak<Self>) {
        loop {
            let Some(alive) = cluster.upgrade() else { return };
            if alive.closed.load(Ordering::Acquire) {
                return;
            }
            match alive.ask().await {
                Ok(ranges) => {
                    let before = lock(&alive.trouble).take();
                    if before.is_some() {
                        tracing::info!("the shards of the Redis cluster are known again");
                    }
                    alive.learn(ranges);
                }
                Err(error) => {
                    let before = lock(&alive.trouble).replace(error.to_string());
                    if before.is_none() {
                        tracing::warn!(why = %error, "no server of the Redis cluster tells where its shards are");
                    }
                }
            }
            let well = {
                let map = alive.map.borrow();
                map.as_ref().is_some_and(|map| map.shards.iter().all(|shard| shard.is_up()))
            };
            let changed = Arc::clone(&alive.changed);
            // The engine may go meanwhile.
            drop(alive);
            tokio::time::sleep(REST).await;
            // Whichever comes first.
            let _ = tokio::time::timeout(if well { INTERVAL } else { HURRY }, changed.notified()).await;
        }
    }

    /// Asks one server after the other, those in use first.
    async fn ask(&self) -> Result<Vec<(u16, u16, String, u16)>> {
        let mut clients: Vec<Client> = Vec::new();
        let known: Vec<Arc<Server>> = lock(&self.servers).values().map(Arc::clone).collect();
        for up in [true, false] {
            let these = known.iter().filter(|server| server.is_up() == up);
            clients.extend(these.filter_map(|server| server.address().fixed()));
        }
        clients.extend(self.seeds.iter().cloned());
        let mut why = down(None);
        for client in clients {
            match tokio::time::timeout(self.limits.connect_timeout, Self::ask_one(&client)).await {
                Ok(Ok(ranges)) => return Ok(ranges),
                Ok(Err(error)) => why = error,
                Err(_) => why = super::wire::late(),
            }
        }
        Err(why)
    }

    async fn ask_one(client: &Client) -> Result<Vec<(u16, u16, String, u16)>> {
        let garbled = super::wire::garbled;
        let config = AsyncConnectionConfig::new().set_response_timeout(None);
        let connection = client.get_multiplexed_async_connection_with_config(&config).await;
        let mut connection = connection.map_err(|error| failed(&error))?;
        let answer: Value = redis::cmd("CLUSTER")
            .arg("SLOTS")
            .query_async(&mut connection)
            .await
            .map_err(|error| failed(&error))?;
        let asked = match client.get_connection_info().addr() {
            redis::ConnectionAddr::Tcp(host, _) | redis::ConnectionAddr::TcpTls { host, .. } => host.clone(),
            _ => String::new(),
        };
        let Value::Array(ranges) = answer else { return Err(garbled()) };
        let mut all = Vec::with_capacity(ranges.len());
        for range in &ranges {
            let Value::Array(parts) = range else { return Err(garbled()) };
            // From, to, the master, its replicas.
            let [Value::Int(from), Value::Int(to), Value::Array(master), ..] = &parts[..] else {
                return Err(garbled());
            };
            let [host, Value::Int(port), ..] = &master[..] else { return Err(garbled()) };
            let host = match host {
                Value::BulkString(host) if !host.is_empty() => String::from_utf8_lossy(host).into_owned(),
                // The one that was asked does not know its own name.
                _ => asked.clone(),
            };
            let small = |number: &i64| u16::try_from(*number).map_err(|_| garbled());
            all.push((small(from)?, small(to)?, host, small(port)?));
        }
        match all.is_empty() {
            true => Err(Error::new(ErrorKind::Layer, "the Redis cluster has no slots yet")),
            false => Ok(all),
        }
    }

    /// Takes in who has which slots.
    fn learn(self: &Arc<Self>, mut ranges: Vec<(u16, u16, String, u16)>) {
        ranges.sort();
        let mut map = Map { slots: vec![u16::MAX; usize::from(SLOTS)], shards: Vec::new() };
        let mut places: HashMap<(String, u16), u16> = HashMap::new();
        let mut servers = lock(&self.servers);
        for (from, to, host, port) in ranges {
            let address = (host, port);
            let place = match places.get(&address) {
                Some(place) => *place,
                None => {
                    let server = match servers.get(&address) {
                        Some(server) => Arc::clone(server),
                        None => {
                            let Ok(client) = self.dialer.at(&address.0, port) else { continue };
                            let server = Server::shard(Address::Fixed(Box::new(client)), self.limits);
                            if let Some(prefix) = self.prefix.get() {
                                server.set_prefix(prefix);
                            }
                            if let Some(newcomer) = self.newcomer.get() {
                                server.on_newcomer(Arc::clone(newcomer));
                            }
                            servers.insert(address.clone(), Arc::clone(&server));
                            server
                        }
                    };
                    // A name of its own on that shard; another when that slot moved away.
                    server.set_tag(from, tag_for);
                    map.shards.push(server);
                    let place = u16::try_from(map.shards.len() - 1).unwrap_or(u16::MAX);
                    places.insert(address, place);
                    place
                }
            };
            for slot in from..=to.min(SLOTS - 1) {
                map.slots[usize::from(slot)] = place;
            }
        }
        servers.retain(|address, server| {
            let stays = places.contains_key(address);
            if !stays {
                // It may have come back with what was removed, and given it away before anybody could check; and what this
                // process removed from it last, the one that was promoted in its place may never have heard of.
                if let Some(newcomer) = self.newcomer.get() {
                    newcomer();
                }
                server.close();
            }
            stays
        });
        drop(servers);
        for shard in &map.shards {
            let shard = Arc::clone(shard);
            // What it says is in its condition.
            tokio::spawn(async move { shard.connect().await });
        }
        self.map.send_replace(Some(Arc::new(map)));
    }

    /// Sends parts to their shards, each shard's together; those that are redirected once more.
    async fn send(self: &Arc<Self>, map: &Map, parts: &mut [Part], by: Deadline) {
        let mut wanted: Vec<(usize, Option<Arc<Server>>, bool)> = (0..parts.len())
            .map(|at| {
                let shard = match key(&parts[at].command) {
                    Some(key) => map.of(slot(key)),
                    None => self.home(map),
                };
                (at, shard.map(Arc::clone), false)
            })
            .collect();
        for _ in 0..=MOST_REDIRECTIONS {
            let mut groups: Vec<Group> = Vec::new();
            for (at, shard, asking) in wanted.drain(..) {
                let Some(shard) = shard else { continue };
                let known = groups.iter().position(|group| Arc::ptr_eq(&group.shard, &shard));
                let known = known.unwrap_or_else(|| {
                    groups.push(Group { shard, pipe: redis::pipe(), places: Vec::new() });
                    groups.len() - 1
                });
                let group = &mut groups[known];
                if asking {
                    group.pipe.cmd("ASKING");
                }
                group.pipe.add_command(parts[at].command.clone());
                group.places.push((at, asking));
            }
            let answers = join_all(
                groups
                    .into_iter()
                    .map(|Group { shard, pipe, places }| async move { (shard.run(pipe, by).await, places) }),
            )
            .await;
            for (answers, places) in answers {
                let Ok(answers) = answers else {
                    self.changed.notify_one();
                    continue;
                };
                let mut answers = answers.into_iter();
                for (at, asking) in places {
                    if asking {
                        answers.next();
                    }
                    let Some(answer) = answers.next() else { continue };
                    if let Some((shard, asking)) = self.redirected(&answer) {
                        wanted.push((at, Some(shard), asking));
                    }
                    parts[at].answer = Some(answer);
                }
            }
            if wanted.is_empty() {
                return;
            }
        }
    }

    /// Where an answer leads to, and whether that is for once.
    fn redirected(&self, answer: &Value) -> Option<(Arc<Server>, bool)> {
        let Value::ServerError(refusal) = answer else { return None };
        let asking = match refusal.code() {
            "ASK" => true,
            "MOVED" => {
                self.changed.notify_one();
                false
            }
            _ => return None,
        };
        let (host, port) = refusal.details()?.split_once(' ')?.1.rsplit_once(':')?;
        let address = (host.to_owned(), port.parse().ok()?);
        // One that is not known yet will be, soon.
        let server = lock(&self.servers).get(&address).map(Arc::clone)?;
        Some((server, asking))
    }
}

#[allow(clippy::manual_async_fn, reason = "the futures have to be `Send`, which only this form can say")]
impl Wire for Arc<Cluster> {
    fn run(&self, pipe: Pipeline, by: Deadline) -> impl Future<Output = Result<Vec<Value>>> + Send {
        async move {
            let map = match tokio::time::timeout_at(by, self.map()).await {
                Ok(map) => map?,
                Err(_) => return Err(super::wire::late()),
            };
            let commands: Vec<&Cmd> = pipe.cmd_iter().collect();
            let mut all: Vec<Part> = Vec::with_capacity(commands.len());
            for (of, command) in commands.iter().enumerate() {
                all.extend(parts(command).into_iter().map(|command| Part { command, of, answer: None }));
            }
            self.send(&map, &mut all, by).await;
            if all.iter().all(|part| part.answer.is_none()) {
                return Err(Error::new(
                    ErrorKind::Layer,
                    "no shard of the Redis cluster that was asked can be used",
                ));
            }
            let mut answers: Vec<Vec<Value>> = commands.iter().map(|_| Vec::new()).collect();
            for part in all {
                answers[part.of].push(part.answer.unwrap_or_else(unreachable_answer));
            }
            let whole = commands.iter().zip(answers).map(|(command, mut answers)| {
                match command.args_iter().next() {
                    Some(Arg::Simple(b"MGET")) => Value::Array(answers),
                    _ if answers.is_empty() => Value::Nil,
                    // The first refusal counts for all keys of it.
                    _ => {
                        let refused =
                            answers.iter().position(|answer| matches!(answer, Value::ServerError(_)));
                        answers.swap_remove(refused.unwrap_or(0))
                    }
                }
            });
            Ok(whole.collect())
        }
    }

    fn run_on(
        &self,
        shard: usize,
        pipe: Pipeline,
        by: Deadline,
    ) -> impl Future<Output = Result<Vec<Value>>> + Send {
        async move {
            let map = self.map().await?;
            match map.shards.get(shard) {
                Some(shard) => shard.run(pipe, by).await,
                None => Err(down(None)),
            }
        }
    }

    fn deadline(&self) -> Deadline {
        Instant::now() + self.limits.budget
    }

    fn in_order(&self) -> bool {
        false
    }

    fn layout(&self) -> Layout {
        Layout::Cluster
    }

    fn shards(&self) -> usize {
        self.map.borrow().as_ref().map_or(1, |map| map.shards.len())
    }

    fn distrust(&self, why: &Error) {
        for server in lock(&self.servers).values() {
            server.lost(None, why);
        }
    }

    fn unmarked(&self) -> Vec<Unmarked> {
        let map = self.map.borrow().clone().unwrap_or_default();
        map.shards.iter().filter_map(|shard| shard.unmarked()).collect()
    }

    fn mark(&self, due: Vec<Unmarked>, by: Deadline) -> impl Future<Output = ()> + Send {
        async move {
            join_all(due.into_iter().map(|mark| mark.set(by))).await;
        }
    }
}
