//! A Redis in memory: the commands that pie sends, executed when the scheduler says so, or not at all, or too late.
#![allow(clippy::expect_used, reason = "part of a test")]

use std::collections::{HashMap, VecDeque};
use std::future::Future;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use foldhash::fast::RandomState;
use redis::{Arg, Cmd, Pipeline, Value};
use smallvec::SmallVec;
use tokio::sync::oneshot;

use crate::cache::glob;
use crate::error::{Error, ErrorKind, Result};
use crate::layers::redis::layout::Layout;
use crate::layers::redis::wire::{Deadline, Wire};

pub(super) const PREFIX: &str = "pie:";

type Bytes = Vec<u8>;

/// What a server holds.
type Map = HashMap<Bytes, Bytes, RandomState>;

/// The words of a command; shared, as a schedule looks at them often.
type Words = Arc<[Bytes]>;

/// One key of one command: what one shard executes by itself.
#[derive(Debug, Clone)]
struct Unit {
    command: usize,
    /// The place of the key among the command's keys.
    place: usize,
    shard: usize,
}

/// A pipeline on its way.
pub(super) struct Op {
    engine: usize,
    server: usize,
    commands: Vec<Words>,
    answers: Vec<Vec<Value>>,
    units: Vec<Unit>,
    reply: Option<oneshot::Sender<Result<Vec<Value>>>>,
    /// The version of the write that the engine was invalidating when it was sent.
    version: u64,
    unlinks: bool,
}

/// What the scheduler lets happen to a pipeline.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Fate {
    /// One shard executes its part; the answer comes when all did.
    Execute(usize),
    /// The connection is lost before anything was executed.
    LostBefore,
    /// It is executed, and the answer is lost.
    LostAfter,
    /// It takes longer than its time budget: the caller gives up, and it is executed later.
    Late,
}

/// A server: what it holds, and which process it is.
#[derive(Default)]
struct Server {
    map: Map,
    run: u64,
}

/// What one engine has of the server.
#[derive(Default)]
pub(super) struct Connection {
    pub(super) up: bool,
    /// Which server its commands go to, and from which its messages come.
    server: usize,
    hears: usize,
    pub(super) subscribed: bool,
    /// Messages, each with the version it tells of.
    pub(super) queue: VecDeque<(Bytes, u64)>,
    /// The version of the write that is being invalidated.
    pub(super) invalidating: u64,
    /// What the messages that arrived told.
    pub(super) told: u64,
    /// What writes through the engine returned.
    pub(super) returned: u64,
}

/// The server, the database and everything in between.
pub(super) struct World {
    /// The last one is the master; those before it were, and still answer who has not left them.
    servers: Vec<Server>,
    snapshot: Map,
    /// How many processes there were.
    runs: u64,
    pub(super) ops: Vec<Op>,
    pub(super) connections: [Connection; 2],
    /// The row.
    pub(super) db: u64,
    /// The newest version whose invalidation was executed.
    pub(super) unlinked: u64,
    /// The newest version whose invalidation was acknowledged.
    pub(super) acknowledged: u64,
    pub(super) shards: usize,
    pub(super) loads: u64,
    /// How many steps a load takes after it has seen the row.
    pub(super) load_steps: u32,
    pub(super) violation: Option<String>,
}

pub(super) type Shared = Arc<Mutex<World>>;

pub(super) fn lock(world: &Shared) -> MutexGuard<'_, World> {
    world.lock().unwrap_or_else(PoisonError::into_inner)
}

/// The wire of one engine.
pub(super) struct Double {
    pub(super) world: Shared,
    pub(super) engine: usize,
    /// Whether this is a new connection that is not trusted yet.
    pub(super) probe: bool,
}

fn down() -> Error {
    Error::new(ErrorKind::Layer, "the connection is lost")
}

fn words(command: &Cmd) -> Words {
    command
        .args_iter()
        .filter_map(|arg| match arg {
            Arg::Simple(bytes) => Some(bytes.to_vec()),
            _ => None,
        })
        .collect()
}

fn keys(command: &[Bytes]) -> &[Bytes] {
    match &command[0][..] {
        b"MGET" | b"UNLINK" => &command[1..],
        b"EVAL" => &command[3..4],
        _ => command.get(1..2).unwrap_or_default(),
    }
}

impl Wire for Double {
    #[allow(clippy::manual_async_fn, reason = "the future has to be `Send`, which only this form can say")]
    fn run(&self, pipe: Pipeline, _: Deadline) -> impl Future<Output = Result<Vec<Value>>> + Send {
        async move {
            let answer = {
                let mut world = lock(&self.world);
                if !world.connections[self.engine].up && !self.probe {
                    return Err(down());
                }
                let commands: Vec<Words> = pipe.cmd_iter().map(words).collect();
                // A new connection leads to the master.
                let server = match self.probe {
                    true => world.servers.len() - 1,
                    false => world.connections[self.engine].server,
                };
                world.send(self.engine, server, commands)
            };
            answer.await.unwrap_or_else(|_| Err(down()))
        }
    }

    fn deadline(&self) -> Deadline {
        Deadline::now()
    }

    fn layout(&self) -> Layout {
        if self.in_order() { Layout::Single } else { Layout::Cluster }
    }

    fn in_order(&self) -> bool {
        lock(&self.world).shards == 1
    }
}

impl World {
    pub(super) fn new(shards: usize) -> Self {
        Self {
            servers: vec![Server { run: 1, ..Server::default() }],
            snapshot: Map::default(),
            runs: 1,
            ops: Vec::new(),
            connections: [
                Connection { up: true, subscribed: true, ..Connection::default() },
                Connection { up: true, subscribed: true, ..Connection::default() },
            ],
            db: 1,
            unlinked: 0,
            acknowledged: 0,
            shards,
            loads: 0,
            load_steps: 1,
            violation: None,
        }
    }

    /// Which process the master is.
    pub(super) fn run(&self) -> u64 {
        self.master().run
    }

    fn master(&self) -> &Server {
        self.servers.last().expect("there is one")
    }

    fn master_map(&mut self) -> &mut Map {
        &mut self.servers.last_mut().expect("there is one").map
    }

    /// The commands of an engine go to the master from now on, if it still is this process.
    pub(super) fn connect(&mut self, engine: usize, run: u64) -> bool {
        if self.run() != run {
            return false;
        }
        let server = self.servers.len() - 1;
        let here = &mut self.connections[engine];
        (here.up, here.server) = (true, server);
        true
    }

    /// The messages of an engine come from the master from now on.
    pub(super) fn subscribe(&mut self, engine: usize) {
        let (server, unlinked) = (self.servers.len() - 1, self.unlinked);
        let here = &mut self.connections[engine];
        (here.subscribed, here.hears) = (true, server);
        here.told = here.told.max(unlinked);
    }

    /// Whether the commands of an engine go to what is no master any more, or did last.
    pub(super) fn tells_an_old_one(&self, engine: usize) -> bool {
        self.connections[engine].server + 1 < self.servers.len()
    }

    /// Whether the messages of an engine come from what is no master any more.
    pub(super) fn hears_an_old_one(&self, engine: usize) -> bool {
        let here = &self.connections[engine];
        here.subscribed && here.hears + 1 < self.servers.len()
    }

    /// An engine loses its connection for commands to what is no master any more.
    pub(super) fn leave(&mut self, engine: usize) {
        let master = self.servers.len() - 1;
        for at in (0..self.ops.len()).rev() {
            if self.ops[at].engine == engine && self.ops[at].server < master {
                let op = self.ops.remove(at);
                self.fail(op);
            }
        }
        self.connections[engine].up = false;
    }

    /// An engine loses its connection for messages.
    pub(super) fn unsubscribe(&mut self, engine: usize) {
        let here = &mut self.connections[engine];
        here.subscribed = false;
        here.queue.clear();
    }

    fn shard(&self, key: &[u8]) -> usize {
        key.iter().fold(0, |sum: usize, byte| sum.wrapping_mul(31).wrapping_add(usize::from(*byte)))
            % self.shards
    }

    fn send(
        &mut self,
        engine: usize,
        server: usize,
        commands: Vec<Words>,
    ) -> oneshot::Receiver<Result<Vec<Value>>> {
        let (send, receive) = oneshot::channel();
        let mut units = Vec::new();
        for (command, words) in commands.iter().enumerate() {
            for (place, key) in keys(words).iter().enumerate() {
                units.push(Unit { command, place, shard: self.shard(key) });
            }
        }
        let answers = commands.iter().map(|words| vec![Value::Nil; keys(words).len()]).collect();
        let unlinks = commands.iter().any(|words| words[0] == b"UNLINK");
        let version = self.connections[engine].invalidating;
        self.ops.push(Op { engine, server, commands, answers, units, reply: Some(send), version, unlinks });
        receive
    }

    /// What may happen to a pipeline.
    pub(super) fn fates(&self, at: usize, faults: bool) -> SmallVec<[Fate; 8]> {
        let op = &self.ops[at];
        let mut shards: SmallVec<[usize; 16]> = op.units.iter().map(|unit| unit.shard).collect();
        shards.sort_unstable();
        shards.dedup();
        let mut fates: SmallVec<[Fate; 8]> = shards.into_iter().map(Fate::Execute).collect();
        if faults && op.reply.is_some() {
            fates.extend([Fate::LostBefore, Fate::LostAfter, Fate::Late]);
        }
        fates
    }

    /// A pipeline in words.
    pub(super) fn describe(&self, choice: super::Choice) -> String {
        let super::Choice::Fate(at, _) = choice else { return String::new() };
        let op = &self.ops[at];
        let word =
            |word: &Bytes| String::from_utf8_lossy(&word[..word.len().min(18)]).escape_debug().to_string();
        let command = |words: &Words| words.iter().map(word).collect::<Vec<_>>().join(" ");
        let commands: Vec<String> = op.commands.iter().map(command).collect();
        format!("engine {} for {}: {}", op.engine, op.version, commands.join("; "))
    }

    /// Lets it happen.
    pub(super) fn happen(&mut self, at: usize, fate: Fate) {
        match fate {
            Fate::Execute(shard) => {
                self.execute(at, Some(shard));
                if self.ops[at].units.is_empty() {
                    let mut op = self.ops.remove(at);
                    if let Some(reply) = op.reply.take() {
                        // Whoever waited may have gone.
                        let _ = reply.send(Ok(assemble(&op)));
                    }
                }
            }
            Fate::LostBefore => {
                let op = self.ops.remove(at);
                self.fail(op);
            }
            Fate::LostAfter => {
                self.execute(at, None);
                let op = self.ops.remove(at);
                self.fail(op);
            }
            Fate::Late => {
                let engine = self.ops[at].engine;
                if let Some(reply) = self.ops[at].reply.take() {
                    let _ = reply.send(Err(down()));
                }
                self.connections[engine].up = false;
            }
        }
    }

    fn fail(&mut self, mut op: Op) {
        if let Some(reply) = op.reply.take() {
            let _ = reply.send(Err(down()));
        }
        self.connections[op.engine].up = false;
    }

    fn execute(&mut self, at: usize, shard: Option<usize>) {
        let (now, later): (Vec<Unit>, Vec<Unit>) = std::mem::take(&mut self.ops[at].units)
            .into_iter()
            .partition(|unit| shard.is_none_or(|shard| unit.shard == shard));
        for unit in now {
            let words = Arc::clone(&self.ops[at].commands[unit.command]);
            let (engine, version) = (self.ops[at].engine, self.ops[at].version);
            let key = &keys(&words)[unit.place];
            let answer = self.command(&words, key, (engine, self.ops[at].server), version);
            self.ops[at].answers[unit.command][unit.place] = answer;
        }
        // What a server is told that is no master any more is lost.
        if later.is_empty() && self.ops[at].unlinks && self.ops[at].server + 1 == self.servers.len() {
            self.unlinked = self.unlinked.max(self.ops[at].version);
        }
        self.ops[at].units = later;
    }

    fn command(
        &mut self,
        words: &[Bytes],
        key: &Bytes,
        (engine, server): (usize, usize),
        version: u64,
    ) -> Value {
        let is_master = server + 1 == self.servers.len();
        let Server { map, run } = &mut self.servers[server];
        let stored = |map: &Map| map.get(key).map_or(Value::Nil, |value| Value::BulkString(value.clone()));
        match &words[0][..] {
            b"INFO" => Value::BulkString(format!("# Server\r\nrun_id:{run}\r\n").into_bytes()),
            b"GET" | b"MGET" => stored(map),
            b"GETRANGE" => match stored(map) {
                Value::Nil => Value::BulkString(Vec::new()),
                value => value,
            },
            b"SET" => {
                let old = stored(map);
                let only_new = words.iter().any(|word| word == b"NX");
                if !only_new || old == Value::Nil {
                    map.insert(key.clone(), words[2].clone());
                }
                let taken = words.iter().any(|word| word == b"GET");
                match (only_new, taken, old) {
                    (true, true, old) => old,
                    (true, false, Value::Nil) | (false, ..) => Value::Okay,
                    (true, false, _) => Value::Nil,
                }
            }
            b"UNLINK" => {
                map.remove(key);
                Value::Int(1)
            }
            b"PEXPIRE" => Value::Int(1),
            b"PTTL" => Value::Int(1_000),
            b"PUBLISH" => {
                if key.ends_with(b"~m") {
                    for (to, connection) in self.connections.iter_mut().enumerate() {
                        // The sender knows its own writes when they return.
                        let told = if to == engine || !is_master { 0 } else { version };
                        if connection.subscribed && connection.hears == server {
                            connection.queue.push_back((words[2].clone(), told));
                        }
                    }
                }
                Value::Int(1)
            }
            b"SCAN" => {
                let pattern = &words[3];
                let found = map.keys().filter(|key| glob::matches(pattern, key));
                let found = found.map(|key| Value::BulkString(key.clone())).collect();
                Value::Array(vec![Value::BulkString(b"0".to_vec()), Value::Array(found)])
            }
            b"EVAL" => {
                if map.get(key).is_some_and(|lock| *lock == words[4]) {
                    map.remove(key);
                }
                Value::Int(1)
            }
            other => {
                self.violation = Some(format!("an unknown command: {}", String::from_utf8_lossy(other)));
                Value::Nil
            }
        }
    }

    /// Loses a key, as an eviction does: the nth of those with or without a `~`.
    pub(super) fn evict(&mut self, token: bool, nth: usize) {
        let map = self.master_map();
        let mut keys: Vec<&Bytes> = map.keys().filter(|key| key.contains(&b'~') == token).collect();
        keys.sort_unstable();
        if let Some(key) = keys.get(nth % keys.len().max(1)).map(|key| (*key).clone()) {
            map.remove(&key);
        }
    }

    pub(super) fn flush_all(&mut self) {
        self.master_map().clear();
    }

    pub(super) fn save(&mut self) {
        self.snapshot = self.master().map.clone();
    }

    /// A replica that has what was saved becomes the master; the one before it still answers those that are connected to it.
    pub(super) fn promote(&mut self) {
        self.runs += 1;
        self.servers.push(Server { map: self.snapshot.clone(), run: self.runs });
    }

    /// Ends the server, and starts another from what was saved.
    pub(super) fn restart(&mut self) {
        self.runs += 1;
        let (map, run) = (self.snapshot.clone(), self.runs);
        *self.servers.last_mut().expect("there is one") = Server { map, run };
        for op in std::mem::take(&mut self.ops) {
            self.fail(op);
        }
        for connection in &mut self.connections {
            connection.up = false;
            connection.subscribed = false;
            connection.queue.clear();
        }
    }
}

fn assemble(op: &Op) -> Vec<Value> {
    op.commands
        .iter()
        .zip(&op.answers)
        .map(|(words, answers)| match &words[0][..] {
            b"MGET" => Value::Array(answers.clone()),
            _ => answers[0].clone(),
        })
        .collect()
}
