//! The two engines of a schedule: the shipped chain over a memory without eviction and a Redis in memory, and what they do with the
//! one row.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use smallvec::smallvec;

use super::double::{Double, PREFIX, Shared, lock};
use crate::cache::chain::{Chain, ChainConfig, Got, Item, Single};
use crate::cache::entry::{Payload, ValueCodec};
use crate::cache::key::{Key, Lookup};
use crate::cache::read::Loader;
use crate::cache::rules::Rules;
use crate::cache::stamps::StampName;
use crate::cache::{
    BoxFuture, CacheLayer, Entry, Inbox, Lock, Peek, SharedLayer, SharedRead, SharedReply, SharedWrite,
};
use crate::clock::{Clock, ManualClock};
use crate::codec::{CodecId, Token};
use crate::error::{Error, ErrorKind, Result};
use crate::layers::redis::protocol::Protocol;
use crate::layers::redis::streak::Streak;
use crate::layers::redis::wire::Deadline;
use crate::layers::redis::{Acquaintance, identify, mark as mark_as, trust};
use crate::task::stepped::pause;

/// A memory layer without eviction: what mini-moka does besides storing is not what is checked here.
#[derive(Debug, Default)]
pub(super) struct Map(Mutex<HashMap<u64, Entry>>);

impl Map {
    pub(super) fn map(&self) -> std::sync::MutexGuard<'_, HashMap<u64, Entry>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl CacheLayer for Map {
    fn name(&self) -> &'static str {
        "map"
    }

    fn peek(&self, key: Lookup<'_>) -> Peek {
        self.map().get(&key.hash()).cloned().map_or(Peek::Miss, Peek::Hit)
    }

    fn get<'a>(&'a self, key: &'a Key) -> BoxFuture<'a, Result<Option<Entry>>> {
        Box::pin(async move { Ok(self.map().get(&key.lookup().hash()).cloned()) })
    }

    fn set<'a>(&'a self, key: &'a Key, entry: &'a Entry) -> BoxFuture<'a, Result<()>> {
        Box::pin(async move {
            self.map().insert(key.lookup().hash(), entry.clone());
            Ok(())
        })
    }

    fn delete<'a>(&'a self, key: &'a Key) -> BoxFuture<'a, Result<()>> {
        Box::pin(async move {
            self.map().remove(&key.lookup().hash());
            Ok(())
        })
    }

    fn clear(&self) -> BoxFuture<'_, Result<()>> {
        Box::pin(async move {
            self.map().clear();
            Ok(())
        })
    }

    fn visit(&self, each: &mut dyn FnMut(&Entry)) -> bool {
        self.map().values().for_each(each);
        true
    }
}

/// The Redis layer over the double.
struct Layer(Arc<Protocol<Double>>);

impl std::fmt::Debug for Layer {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Layer")
    }
}

impl CacheLayer for Layer {
    fn name(&self) -> &'static str {
        "double"
    }

    fn get<'a>(&'a self, _key: &'a Key) -> BoxFuture<'a, Result<Option<Entry>>> {
        Box::pin(async { Ok(None) })
    }

    fn set<'a>(&'a self, _key: &'a Key, _entry: &'a Entry) -> BoxFuture<'a, Result<()>> {
        Box::pin(async { Ok(()) })
    }

    fn delete<'a>(&'a self, _key: &'a Key) -> BoxFuture<'a, Result<()>> {
        Box::pin(async { Ok(()) })
    }

    fn clear(&self) -> BoxFuture<'_, Result<()>> {
        Box::pin(async { Ok(()) })
    }

    fn shared(&self) -> Option<&dyn SharedLayer> {
        Some(self)
    }
}

impl SharedLayer for Layer {
    fn read<'a>(&'a self, reads: &'a [SharedRead<'a>]) -> BoxFuture<'a, Result<Vec<SharedReply>>> {
        Box::pin(self.0.read(reads))
    }

    fn write<'a>(&'a self, writes: &'a [SharedWrite<'a>]) -> BoxFuture<'a, Result<()>> {
        Box::pin(self.0.write(writes))
    }

    fn invalidate<'a>(&'a self, names: &'a [StampName]) -> BoxFuture<'a, Result<()>> {
        Box::pin(self.0.invalidate(names))
    }

    fn invalidate_pattern<'a>(&'a self, scope: &'a str, pattern: &'a str) -> BoxFuture<'a, Result<()>> {
        Box::pin(self.0.invalidate_pattern(scope, pattern))
    }

    fn listen(&self, inbox: Inbox) -> bool {
        self.0.set_inbox(inbox);
        true
    }

    fn lock<'a>(&'a self, key: &'a Key, lease: u64) -> BoxFuture<'a, Result<Lock>> {
        Box::pin(self.0.lock(key, lease))
    }

    fn unlock<'a>(&'a self, key: &'a Key, lock: Token) -> BoxFuture<'a, Result<()>> {
        Box::pin(self.0.unlock(key, lock))
    }
}

static CODEC: ValueCodec = ValueCodec {
    id: CodecId::Rows,
    encode: |value| Some(value.downcast_ref::<u64>()?.to_le_bytes().to_vec()),
    decode: |bytes| Some(payload(u64::from_le_bytes(bytes.try_into().ok()?))),
    weigh: |_| 8,
    tags: None,
};

/// A version of the row; some are "no such row".
fn payload(version: u64) -> Payload {
    Payload { value: Arc::new(version), empty: version.is_multiple_of(3) }
}

#[derive(Clone)]
pub(super) struct Engine {
    pub(super) id: usize,
    chain: Arc<Chain>,
    pub(super) protocol: Arc<Protocol<Double>>,
    world: Shared,
    pub(super) memory: Arc<Map>,
    known: Arc<Mutex<Acquaintance>>,
}

/// The layer of a chain that the test also holds.
#[derive(Debug)]
struct Held(Arc<Map>);

impl CacheLayer for Held {
    fn name(&self) -> &'static str {
        "map"
    }
    fn peek(&self, key: Lookup<'_>) -> Peek {
        self.0.peek(key)
    }
    fn get<'a>(&'a self, key: &'a Key) -> BoxFuture<'a, Result<Option<Entry>>> {
        self.0.get(key)
    }
    fn set<'a>(&'a self, key: &'a Key, entry: &'a Entry) -> BoxFuture<'a, Result<()>> {
        self.0.set(key, entry)
    }
    fn delete<'a>(&'a self, key: &'a Key) -> BoxFuture<'a, Result<()>> {
        self.0.delete(key)
    }
    fn clear(&self) -> BoxFuture<'_, Result<()>> {
        self.0.clear()
    }
    fn visit(&self, each: &mut dyn FnMut(&Entry)) -> bool {
        self.0.visit(each)
    }
}

/// How the row is read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Way {
    Plain,
    /// Past the memory of the engine.
    PastMemory,
    Refresh,
    /// By one process at a time.
    Locked,
}

/// How a write invalidates the row.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kill {
    Key,
    Family,
    Tag,
    Index,
    Namespace,
    Glob,
    /// The new value is stored in place of the old one.
    Set,
}

pub(super) const KILLS: [Kill; 7] =
    [Kill::Key, Kill::Family, Kill::Tag, Kill::Index, Kill::Namespace, Kill::Glob, Kill::Set];

fn name(text: &str) -> StampName {
    StampName::new(PREFIX, text)
}

struct Load {
    world: Shared,
    fails: bool,
}

impl Loader for Load {
    fn load<'s>(&'s mut self, _wanted: &'s [usize]) -> BoxFuture<'s, Result<Single<Payload>>> {
        Box::pin(async move {
            pause().await;
            let (version, steps) = {
                let mut world = lock(&self.world);
                world.loads += 1;
                (world.db, world.load_steps)
            };
            for _ in 0..steps {
                pause().await;
            }
            if self.fails {
                return Err(Error::new(ErrorKind::Database, "the database says no"));
            }
            Ok(smallvec![payload(version)])
        })
    }

    fn detached(&self, _wanted: &[usize]) -> Option<Box<dyn Loader>> {
        Some(Box::new(Self { world: Arc::clone(&self.world), fails: self.fails }))
    }
}

const TTL: Duration = Duration::from_millis(1_000);

fn rules(way: Way) -> Rules {
    let mut rules = Rules::new(TTL, Duration::ZERO, TTL);
    rules.limits.stale = 100_000;
    rules.limits.stale_if_error = 100_000;
    rules.ahead = Some(800);
    rules.refresh = way == Way::Refresh;
    rules.skip_memory = way == Way::PastMemory;
    rules.lease = (way == Way::Locked).then_some(1_000);
    rules
}

impl Engine {
    /// `streak` is after how many reads that found their token one expects the next to.
    pub(super) fn new(id: usize, world: &Shared, clock: &ManualClock, gathers: bool, streak: u32) -> Self {
        let wire = Double { world: Arc::clone(world), engine: id, probe: false };
        let mut protocol = Protocol::new(wire, 1 << 20);
        protocol.streak = Streak::of(streak);
        let protocol = Arc::new(protocol);
        protocol.set_prefix(PREFIX);
        let memory = Arc::new(Map::default());
        let config = ChainConfig { bits: 10, gathers, ..ChainConfig::default() };
        let layers: Vec<Arc<dyn CacheLayer>> =
            vec![Arc::new(Held(Arc::clone(&memory))), Arc::new(Layer(Arc::clone(&protocol)))];
        let chain = Chain::new(layers, Clock::from(clock), config);
        protocol.subscribed();
        let mut known = Acquaintance::default();
        known.meets(Some(lock(world).run().to_string()));
        let known = Arc::new(Mutex::new(known));
        Self { id, chain, protocol, world: Arc::clone(world), memory, known }
    }

    fn item(&self, way: Way) -> Arc<Item> {
        let full = b"pie:user:1";
        let key = Key::new(Lookup { full, hash: self.chain.stamps.hash(full) }, PREFIX, "user:1", 0);
        let others = [name("f:user"), name("i:users.status=a"), name("t:users"), name("n")];
        Arc::new(Item {
            key,
            others: Arc::new(others.into_iter().collect()),
            limits: rules(way).limits,
            codec: &CODEC,
            group: &crate::cache::groups::MANUAL,
        })
    }

    /// The oldest version that a read beginning now may give.
    fn floor(&self, way: Way) -> u64 {
        let world = lock(&self.world);
        let here = &world.connections[self.id];
        match way {
            Way::Refresh => world.db,
            // Who is still on the side of an old master does not hear of what others do on the side of the new one.
            _ if world.tells_an_old_one(self.id) || world.hears_an_old_one(self.id) => here.returned,
            Way::Plain | Way::Locked => here.returned.max(here.told),
            Way::PastMemory => here.returned.max(here.told).max(world.acknowledged),
        }
    }

    pub(super) async fn read(self, way: Way, fails: bool) {
        let floor = self.floor(way);
        let (item, rules) = (self.item(way), rules(way));
        let mut loader = Load { world: Arc::clone(&self.world), fails };
        let seen = match way {
            Way::Plain | Way::Locked => {
                let group = self.chain.groups.of(item.group);
                self.chain.peek(item.key.lookup(), &rules, group)
            }
            Way::PastMemory | Way::Refresh => None,
        };
        let found = match seen {
            Some(seen) => {
                if seen.aging {
                    let again = Box::new(Load { world: Arc::clone(&self.world), fails });
                    self.chain.refresh_later(Arc::clone(&item), rules, again);
                }
                Some(Arc::clone(seen.sight.entry().value()))
            }
            None => match self.chain.get_one(&item, &rules, &mut loader).await {
                Ok(Got::Found(found)) => Some(Arc::clone(found.entry.value())),
                Ok(Got::Loaded(payload)) => Some(payload.value),
                Err(_) => return,
            },
        };
        let version = found.and_then(|value| value.downcast_ref::<u64>().copied()).unwrap_or(0);
        let mut world = lock(&self.world);
        if version < floor {
            world.violation =
                Some(format!("a {way:?} read of engine {} gave {version}, after {floor} was due", self.id));
        }
        if way == Way::Refresh {
            // It invalidated: what was committed when it began is seen from now on.
            let here = &mut world.connections[self.id];
            here.returned = here.returned.max(floor);
        }
    }

    pub(super) async fn write(self, kill: Kill) {
        let version = {
            let mut world = lock(&self.world);
            world.db += 1;
            world.db
        };
        pause().await;
        lock(&self.world).connections[self.id].invalidating = version;
        match kill {
            Kill::Key => self.chain.invalidate(vec![name("k:user:1")]).await,
            Kill::Family => self.chain.invalidate(vec![name("f:user")]).await,
            Kill::Tag => self.chain.invalidate(vec![name("t:users")]).await,
            Kill::Index => self.chain.invalidate(vec![name("i:users.status=a"), name("k:user:2")]).await,
            Kill::Namespace => self.chain.invalidate(vec![name("n")]).await,
            Kill::Glob => self.chain.invalidate_pattern(PREFIX, "us?r:[0-9]").await,
            Kill::Set => {
                let rules = rules(Way::Plain);
                self.chain.put(vec![self.item(Way::Plain)], vec![payload(version)], &rules).await;
            }
        }
        let mut world = lock(&self.world);
        world.connections[self.id].returned = version;
        drop(world);
        self.acknowledge();
    }

    /// What returned and is not pending was acknowledged.
    pub(super) fn acknowledge(&self) {
        if self.protocol.unsent() == 0 {
            let mut world = lock(&self.world);
            world.acknowledged = world.acknowledged.max(world.connections[0].returned.min(world.unlinked));
        }
    }

    /// A program that reads the row itself, and stores it through a fence.
    pub(super) async fn fence(self) {
        let item = self.item(Way::Plain);
        let mut tickets = self.chain.tickets(std::slice::from_ref(&item)).await;
        pause().await;
        let version = lock(&self.world).db;
        pause().await;
        if let Some(ticket) = tickets.pop().flatten() {
            self.chain.store_everywhere(smallvec![(item, payload(version), 1_000, ticket)]).await;
        }
    }

    pub(super) async fn reconnect(self) {
        let probe = Double { world: Arc::clone(&self.world), engine: self.id, probe: true };
        use crate::layers::redis::wire::Wire;
        let (server, shards) = {
            let world = lock(&self.world);
            (world.run(), world.shards)
        };
        let run = |pipe| probe.run(pipe, probe.deadline());
        // One server is checked and told by the connection; of a cluster a check makes the namespace unsent.
        let mark = format!("{PREFIX}~run");
        let met = match shards {
            1 => trust(PREFIX, run).await,
            _ => identify(&mark, run).await,
        };
        let Ok(met) = met else { return };
        let other = self.known.lock().unwrap_or_else(PoisonError::into_inner).meets(met.id.clone());
        let unmarked = shards > 1 && !met.marked;
        if other || unmarked {
            self.protocol.newcomer();
        }
        if !lock(&self.world).connect(self.id, server) {
            // The connection that was asked is as dead as its server.
            return;
        }
        let sent = self.protocol.send_pending(Deadline::now()).await;
        if sent.is_ok() && unmarked {
            // Without success the next connection does it.
            let _ = run(mark_as(&mark, &met.id.unwrap_or_default())).await;
        }
        self.acknowledge();
    }
}
