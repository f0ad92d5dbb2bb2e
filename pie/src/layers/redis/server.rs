//! One server: connections that come back by themselves, and the breaker that says whether it may be used.
//!
//! The breaker opens at the first sign of trouble: a call that was late, a lost connection, a refusal that concerns the whole
//! server. While it is open, calls fail at once. A task tries again and again, with growing pauses drawn at random; an attempt is
//! the half-open state. It closes when a new connection has been checked (see `check`), answers within the time budget of a
//! lookup included: a server that is there but slow stays out. (The pattern is that of Nygard's *Release It!*, with one failure
//! as the threshold, since a failure costs its caller the whole budget.)

use std::future::Future;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, OnceLock, PoisonError};
use std::time::Duration;

use redis::AsyncConnectionConfig;
use redis::aio::{ConnectionLike, MultiplexedConnection};
use redis::{Pipeline, Value};
use tokio::sync::watch;
use tokio::time::Instant;

use super::address::Address;
use super::anchor::Anchor;
use super::check::{self, Acquaintance, Checked, Met};
use super::layout::on_shard;
use super::wire::{Deadline, Wire, failed, late, refused, useless};
use crate::cache::health::BreakerState;
use crate::error::{Error, ErrorKind, Result};

const FIRST_PAUSE: Duration = Duration::from_millis(50);
const LONGEST_PAUSE: Duration = Duration::from_secs(2);
/// A server that was usable for less than this before it failed is tried again only after a pause, which goes on growing.
const STEADY: Duration = Duration::from_secs(1);

#[derive(Clone)]
enum State {
    /// Nobody has asked yet.
    Idle,
    /// The first attempt is under way: callers wait for it.
    First,
    /// Usable. The number tells these connections from the ones before them.
    Up(Arc<[MultiplexedConnection]>, u64),
    /// Not usable; a task tries again and again. Callers do not wait.
    Down,
    /// The engine was closed.
    Closed,
}

/// How a server is reached, and how long it is waited for.
#[derive(Debug, Clone, Copy)]
pub(super) struct Limits {
    pub(super) connections: usize,
    pub(super) budget: Duration,
    pub(super) connect_timeout: Duration,
}

/// What is done before a server is trusted that may have what was removed.
pub(super) type Newcomer = Arc<dyn Fn() + Send + Sync>;

/// A shard that may have forgotten what was removed, until it is marked.
pub(crate) struct Unmarked {
    server: Arc<Server>,
    mark: String,
    id: String,
}

impl Unmarked {
    /// Marks it; without success it is done by the next connection.
    pub(super) async fn set(self, by: Deadline) {
        if self.server.run(check::mark(&self.mark, &self.id), by).await.is_ok() {
            self.server.trouble(|trouble| {
                trouble.unmarked.take_if(|(_, id)| *id == self.id);
            });
        }
    }
}

/// What is known of the trouble with a server.
#[derive(Debug, Clone)]
struct Trouble {
    /// What went wrong last.
    last: Option<String>,
    /// Whether that was said in the log.
    said: bool,
    /// Whether an attempt is under way.
    trying: bool,
    /// Since when the server is usable, or not.
    since: Instant,
    /// How long to wait before the next attempt.
    pause: Duration,
    /// How often the breaker opened.
    opened: u64,
    checked: Checked,
    /// Which process it was last.
    known: Acquaintance,
    /// Under which name to mark it as what, when the namespace was invalidated.
    unmarked: Option<(String, String)>,
    /// Its first slot, and the hash tag of names that lie on it.
    tag: Option<(u16, String)>,
}

/// One server.
pub(super) struct Server {
    address: Address,
    limits: Limits,
    state: watch::Sender<State>,
    count: AtomicU64,
    next: AtomicUsize,
    /// What all names of the engine begin with.
    prefix: OnceLock<Box<str>>,
    newcomer: OnceLock<Newcomer>,
    /// Whether it is a shard of a cluster.
    clustered: bool,
    trouble: Mutex<Trouble>,
    anchor: Anchor,
}

/// What there is to say about a server.
#[derive(Debug, Clone)]
pub(super) struct Condition {
    pub(super) breaker: BreakerState,
    pub(super) since: Duration,
    pub(super) opened: u64,
    pub(super) trouble: Option<String>,
    pub(super) missing_rights: Vec<&'static str>,
}

fn down() -> Error {
    Error::new(ErrorKind::Layer, "Redis is not usable; it is tried again in the background")
}

impl Server {
    fn make(address: Address, limits: Limits, clustered: bool) -> Arc<Self> {
        Arc::new(Self {
            address,
            limits,
            state: watch::Sender::new(State::Idle),
            count: AtomicU64::new(0),
            next: AtomicUsize::new(0),
            prefix: OnceLock::new(),
            trouble: Mutex::new(Trouble {
                last: None,
                said: false,
                trying: false,
                since: Instant::now(),
                pause: Duration::ZERO,
                opened: 0,
                checked: Checked::default(),
                known: Acquaintance::default(),
                unmarked: None,
                tag: None,
            }),
            newcomer: OnceLock::new(),
            clustered,
            anchor: Anchor::new(),
        })
    }

    /// A server by itself.
    pub(super) fn new(address: Address, limits: Limits) -> Arc<Self> {
        Self::make(address, limits, false)
    }

    /// A shard of a cluster.
    pub(super) fn shard(address: Address, limits: Limits) -> Arc<Self> {
        Self::make(address, limits, true)
    }

    pub(super) fn address(&self) -> &Address {
        &self.address
    }

    pub(super) fn set_prefix(&self, prefix: &str) {
        // The first engine's counts; a layer belongs to one.
        let _ = self.prefix.set(prefix.into());
    }

    /// Says what to do before it is trusted when it may have what was removed.
    pub(super) fn on_newcomer(&self, newcomer: Newcomer) {
        let _ = self.newcomer.set(newcomer);
    }

    /// Says which slot is its first.
    pub(super) fn set_tag(&self, slot: u16, tag_for: fn(u16) -> String) {
        if self.trouble(|trouble| trouble.tag.as_ref().is_none_or(|(known, _)| *known != slot)) {
            let tag = tag_for(slot);
            self.trouble(|trouble| trouble.tag = Some((slot, tag)));
        }
    }

    /// How to mark it, if that is due.
    pub(super) fn unmarked(self: &Arc<Self>) -> Option<Unmarked> {
        let (mark, id) = self.trouble(|trouble| trouble.unmarked.clone())?;
        Some(Unmarked { server: Arc::clone(self), mark, id })
    }

    /// Whether calls reach it.
    pub(super) fn is_up(&self) -> bool {
        matches!(*self.state.borrow(), State::Up(..))
    }

    fn trouble<T>(&self, look: impl FnOnce(&mut Trouble) -> T) -> T {
        look(&mut self.trouble.lock().unwrap_or_else(PoisonError::into_inner))
    }

    /// One of the connections, at once; waits only while the very first attempt is under way.
    async fn connection(self: &Arc<Self>) -> Result<(MultiplexedConnection, u64)> {
        let state = self.state.borrow().clone();
        let (connections, id) = match state {
            State::Up(connections, id) => (connections, id),
            State::Idle | State::First => self.first().await?,
            State::Down | State::Closed => return Err(down()),
        };
        let at = self.next.fetch_add(1, Ordering::Relaxed) % connections.len();
        Ok((connections[at].clone(), id))
    }

    /// Connects unless that was done already, and waits for the outcome of the first attempt.
    async fn first(self: &Arc<Self>) -> Result<(Arc<[MultiplexedConnection]>, u64)> {
        let begun = self.state.send_if_modified(|state| {
            let idle = matches!(state, State::Idle);
            if idle {
                *state = State::First;
            }
            idle
        });
        if begun {
            self.keep_trying();
        }
        let mut watcher = self.state.subscribe();
        let outcome = watcher.wait_for(|state| !matches!(state, State::Idle | State::First)).await;
        match outcome.as_deref() {
            Ok(State::Up(connections, id)) => Ok((Arc::clone(connections), *id)),
            _ => {
                let why = self.trouble(|trouble| trouble.last.clone());
                let why = why.map_or_else(String::new, |why| format!(": {why}"));
                Err(Error::new(ErrorKind::Connection, format!("Redis is not usable{why}")))
            }
        }
    }

    /// Connects, as [`first`](Self::first).
    pub(super) async fn connect(self: &Arc<Self>) -> Result<()> {
        self.first().await.map(|_| ())
    }

    /// Waits until there is a connection, or will never be one.
    pub(super) fn up(&self) -> impl Future<Output = ()> + Send + use<> {
        let mut watcher = self.state.subscribe();
        async move {
            let _ = watcher.wait_for(|state| matches!(state, State::Up(..) | State::Closed)).await;
        }
    }

    /// Gives the connections with this number up (any, without a number) and begins to make new ones.
    pub(super) fn lost(self: &Arc<Self>, id: Option<u64>, why: &Error) {
        let same =
            |state: &State| matches!(state, State::Up(_, current) if id.is_none_or(|id| id == *current));
        if self.falls(same, why) {
            self.keep_trying();
        }
    }

    /// The first attempt takes longer than a lookup waits: it goes on, and later lookups do not wait for it.
    fn slow_at_first(&self, why: &Error) {
        self.falls(|state| matches!(state, State::First), why);
    }

    /// The breaker opens, if the state is such.
    fn falls(&self, from: impl Fn(&State) -> bool, why: &Error) -> bool {
        let changed = self.state.send_if_modified(|state| {
            let falls = from(state);
            if falls {
                *state = State::Down;
            }
            falls
        });
        if changed {
            self.opened(why);
        }
        changed
    }

    pub(super) fn close(&self) {
        self.state.send_replace(State::Closed);
    }

    /// The breaker opens, or stays open.
    fn opened(&self, why: &Error) {
        let say = self.trouble(|trouble| {
            if trouble.last.is_none() {
                trouble.opened += 1;
                let steady = trouble.since.elapsed() >= STEADY;
                if steady || trouble.opened == 1 {
                    trouble.pause = Duration::ZERO;
                }
                trouble.since = Instant::now();
            }
            trouble.last = Some(why.to_string());
            !std::mem::replace(&mut trouble.said, true)
        });
        if say {
            let server = self.address.to_string();
            tracing::warn!(server, %why, "Redis is not usable: memory and database answer until it is back");
        }
    }

    /// The breaker closes.
    fn closed(&self, checked: &Checked) {
        let (said, before) = self.trouble(|trouble| {
            trouble.last = None;
            trouble.since = Instant::now();
            let before = std::mem::replace(&mut trouble.checked, checked.clone());
            (std::mem::replace(&mut trouble.said, false), before)
        });
        let server = self.address.to_string();
        if said {
            tracing::info!(server, "Redis is usable again");
        }
        checked.say(&server, &before);
    }

    /// What there is to say about it.
    pub(super) fn condition(&self) -> Condition {
        let state = self.state.borrow().clone();
        self.trouble(|trouble| Condition {
            breaker: match state {
                State::Idle | State::First => BreakerState::Idle,
                State::Up(..) => BreakerState::Closed,
                State::Down if trouble.trying => BreakerState::HalfOpen,
                State::Down | State::Closed => BreakerState::Open,
            },
            since: trouble.since.elapsed(),
            opened: trouble.opened,
            trouble: trouble.last.clone(),
            missing_rights: trouble.checked.missing.clone(),
        })
    }

    /// Makes the connections and has them checked.
    async fn attempt(
        address: &Address,
        limits: Limits,
        (prefix, shard): (&str, Option<&str>),
    ) -> Result<Attempt> {
        let config = AsyncConnectionConfig::new()
            .set_connection_timeout(Some(limits.connect_timeout))
            // The budget of each lookup is the limit; two of them would only differ.
            .set_response_timeout(None);
        let work = async {
            let client = address.client().await?;
            let mut connections = Vec::with_capacity(limits.connections);
            let (mut checked, mut met): (_, Option<Met>) = (Checked::default(), None);
            for _ in 0..limits.connections {
                let connection = client.get_multiplexed_async_connection_with_config(&config).await;
                let connection = connection.map_err(|error| failed(&error))?;
                // A server that accepts and stays silent is no server, and one that was restarted may have forgotten.
                let run = |pipe: Pipeline| {
                    let mut connection = connection.clone();
                    async move { query(&mut connection, &pipe, shard.is_some()).await }
                };
                if address.insists_on_master() {
                    check::is_master(run).await?;
                }
                let now = match shard {
                    None => check::trust(prefix, run).await?,
                    Some(_) => check::identify(&on_shard(prefix, "~run", shard), run).await?,
                };
                if met.as_ref().is_some_and(|met| met.id != now.id) {
                    // The address leads to another one since a moment ago.
                    return Err(Error::new(
                        ErrorKind::Layer,
                        "the connections lead to different Redis servers: give an address that leads to one master",
                    ));
                }
                met = Some(now);
                checked = check::probe(&on_shard(prefix, "~probe", shard), limits.budget, run).await?;
                connections.push(connection);
            }
            Ok(Attempt { connections: connections.into(), checked, met })
        };
        match tokio::time::timeout(limits.connect_timeout, work).await {
            Ok(result) => result,
            Err(_) => Err(late()),
        }
    }

    /// Has new connections to a process, and has not used them yet.
    fn met(&self, Met { id, marked }: Met, tag: Option<&str>) {
        let other = self.trouble(|trouble| trouble.known.meets(id.clone()));
        let unmarked = !marked && self.clustered;
        if other || unmarked {
            // In this order: who sees that it is unmarked has to see what has to be sent first.
            if let Some(newcomer) = self.newcomer.get() {
                newcomer();
            }
        }
        if unmarked {
            let mark = on_shard(self.prefix.get().map_or("pie:", |prefix| prefix), "~run", tag);
            self.trouble(|trouble| trouble.unmarked = Some((mark, id.unwrap_or_default())));
        }
    }

    /// Tries until it has connections, with growing pauses, in a task that ends when the server is dropped or closed.
    fn keep_trying(self: &Arc<Self>) {
        let weak = Arc::downgrade(self);
        let (address, limits) = (self.address.clone(), self.limits);
        let prefix = self.prefix.get().map_or_else(|| "pie:".into(), Clone::clone);
        let clustered = self.clustered;
        tokio::spawn(async move {
            loop {
                let Some(server) = weak.upgrade() else { return };
                // None for a server that was steady; those of one that fails again and again grow.
                let pause = server.trouble(|trouble| {
                    let next = (trouble.pause * 2).clamp(FIRST_PAUSE, LONGEST_PAUSE);
                    std::mem::replace(&mut trouble.pause, next)
                });
                drop(server);
                if !pause.is_zero() {
                    tokio::time::sleep(pause.mul_f64(0.5 + fastrand::f64() / 2.0)).await;
                }
                let trying = |now: bool| {
                    if let Some(server) = weak.upgrade() {
                        server.trouble(|trouble| trouble.trying = now);
                    }
                };
                trying(true);
                let tag = weak.upgrade().and_then(|server| server.trouble(|trouble| trouble.tag.clone()));
                let tag = tag.filter(|_| clustered).map(|(_, tag)| tag);
                let outcome = Self::attempt(&address, limits, (&prefix, tag.as_deref())).await;
                trying(false);
                let Some(server) = weak.upgrade() else { return };
                let (next, checked) = match outcome {
                    Ok(Attempt { connections, checked, met }) => {
                        if let Some(met) = met {
                            server.met(met, tag.as_deref());
                        }
                        (State::Up(connections, server.count.fetch_add(1, Ordering::Relaxed)), checked)
                    }
                    Err(error) => {
                        server.opened(&error);
                        (State::Down, Checked::default())
                    }
                };
                let up = matches!(next, State::Up(..));
                if up {
                    server.closed(&checked);
                }
                let mut closed = false;
                server.state.send_if_modified(|state| {
                    closed = matches!(state, State::Closed);
                    if !closed {
                        *state = next;
                    }
                    !closed
                });
                if up || closed {
                    return;
                }
            }
        });
    }
}

/// Connections that can be used.
struct Attempt {
    connections: Arc<[MultiplexedConnection]>,
    checked: Checked,
    /// `None` only without connections.
    met: Option<Met>,
}

/// Runs a pipeline; an answer that makes the server useless is an error.
async fn query(
    connection: &mut MultiplexedConnection,
    pipe: &Pipeline,
    clustered: bool,
) -> Result<Vec<Value>> {
    let alone = if pipe.len() == 1 { pipe.cmd_iter().next() } else { None };
    let answers = match alone {
        // Without what gathers the answers of several.
        Some(command) => connection.req_packed_command(command).await.map(|answer| vec![answer]),
        None => connection.req_packed_commands(pipe, 0, pipe.len()).await,
    };
    let answers = answers.map_err(|error| failed(&error))?;
    match useless(pipe, &answers, clustered) {
        Some(refusal) => Err(refused(refusal.code())),
        None => Ok(answers),
    }
}

impl Wire for Arc<Server> {
    #[allow(clippy::manual_async_fn, reason = "the future has to be `Send`, which only this form can say")]
    fn run(&self, pipe: Pipeline, by: Deadline) -> impl Future<Output = Result<Vec<Value>>> + Send {
        async move {
            self.anchor.hold(self.limits.budget);
            let mut used = None;
            let work = async {
                let (mut connection, id) = self.connection().await?;
                used = Some(id);
                query(&mut connection, &pipe, self.clustered)
                    .await
                    .inspect_err(|why| self.lost(Some(id), why))
            };
            match tokio::time::timeout_at(by, work).await {
                Ok(outcome) => outcome,
                Err(_) => {
                    match used {
                        Some(id) => self.lost(Some(id), &late()),
                        None => self.slow_at_first(&late()),
                    }
                    Err(late())
                }
            }
        }
    }

    fn deadline(&self) -> Deadline {
        Instant::now() + self.limits.budget
    }

    fn distrust(&self, why: &Error) {
        self.lost(None, why);
    }
}
