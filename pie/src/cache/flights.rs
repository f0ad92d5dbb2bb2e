//! Single flight: one load for all that want the same value under the same versions at the same time.
//!
//! The first to come *leads*: it asks the lower layers and the database in its own future. The others wait. A leader that
//! is dropped, or panics, hands over: one of the waiters leads instead, with the loader it brought. Whoever took its
//! versions after an invalidation does not join a load that began before it, because the versions differ.
//!
//! A flight's name is one of those being read ([`open`](super::open)) until the flight ends.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};

use tokio::sync::Notify;

use super::chain::{Got, Item, LayerTokens};
use super::key::AsIs;
use super::open::{Open, OpenNames};
use super::stamps::{Snapshot, StampName};
use crate::error::Result;

const SHARDS: usize = 64;

/// By the hash of the key, which is well spread and seeded for the engine.
type Running = HashMap<u64, Arc<Flight>, AsIs>;

/// The loads that are running. Each part of them is counted by itself: one count for all would be a line of memory that the threads
/// take from each other with every read.
#[derive(Debug)]
pub(crate) struct Flights {
    shards: Box<[Arc<Shard>]>,
    /// The names of what is being read and has no place in a shard.
    open: OpenNames,
}

impl Default for Flights {
    fn default() -> Self {
        Self { shards: (0..SHARDS).map(|_| Arc::default()).collect(), open: OpenNames::default() }
    }
}

/// Some of the loads, by the hash of the key.
#[derive(Debug, Default)]
struct Shard(Mutex<Running>);

impl Shard {
    fn running(&self) -> MutexGuard<'_, Running> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// One load.
#[derive(Debug)]
pub(crate) struct Flight {
    item: Arc<Item>,
    snapshot: Snapshot,
    /// Known once the leader has asked the shared layers.
    tokens: OnceLock<LayerTokens>,
    state: Mutex<State>,
    changed: Notify,
    /// Where its name stands when the flight has no place in its shard.
    open: OnceLock<Open>,
}

#[derive(Debug, Clone)]
enum State {
    Running,
    /// The leader went away.
    Left,
    Done(Result<Got>),
}

/// What a reader has to do.
pub(crate) enum Entered {
    Lead(Lead),
    Join(Arc<Flight>),
}

/// The right and the duty to load. Dropped without [`finish`](Self::finish), it goes to one that waits.
#[derive(Debug)]
pub(crate) struct Lead {
    shard: Arc<Shard>,
    hash: u64,
    flight: Arc<Flight>,
    /// Whether its outcome is known.
    ended: bool,
}

impl Flights {
    fn shard(&self, hash: u64) -> &Arc<Shard> {
        // The low bits choose stamps and the memory layer's places; these are others.
        &self.shards[usize::try_from(hash >> 48).unwrap_or(0) % SHARDS]
    }

    /// Keeps names among those being read.
    pub(crate) fn open<'n>(&self, names: impl IntoIterator<Item = &'n StampName>) -> Open {
        self.open.add(names)
    }

    /// The names being read for which `wanted` is true.
    pub(crate) fn names(&self, wanted: impl Fn(&StampName) -> bool) -> Vec<StampName> {
        // In this order: a flight that loses its place has its name among the open ones before.
        let mut names = Vec::new();
        for shard in &self.shards {
            let running = shard.running();
            names.extend(
                running.values().map(|flight| flight.item.name()).filter(|name| wanted(name)).cloned(),
            );
        }
        names.extend(self.open.filter(wanted));
        names
    }

    /// Joins the load that runs under the same versions, or begins one. The versions are taken once the name is among those being
    /// read. With tokens the shared ones have to be the same as well: for readers that may not be answered by what this process
    /// alone believes.
    pub(crate) fn enter(
        &self,
        item: &Arc<Item>,
        versions: impl FnOnce() -> Snapshot,
        tokens: Option<&LayerTokens>,
    ) -> Entered {
        let key = item.key.lookup();
        let shard = self.shard(key.hash());
        let mut running = shard.running();
        // Whoever looks for names waits for the lock, and finds it.
        let snapshot = versions();
        let there = running.get(&key.hash());
        let same_key = there.is_none_or(|there| there.item.key.lookup().bytes() == key.bytes());
        if let Some(flight) = there
            && same_key
            && (flight.snapshot == snapshot || mistake!(JoinAny))
            && tokens.is_none_or(|tokens| {
                mistake!(JoinNoToken) || flight.tokens.get().is_some_and(|t| t.same(tokens))
            })
        {
            return Entered::Join(Arc::clone(flight));
        }
        let flight = Arc::new(Flight {
            item: Arc::clone(item),
            snapshot,
            tokens: tokens.map_or_else(OnceLock::new, |tokens| tokens.clone().into()),
            state: Mutex::new(State::Running),
            changed: Notify::new(),
            open: OnceLock::new(),
        });
        // One of another key with the same hash keeps its place: nobody joins this one.
        let placeless = if same_key {
            running.insert(key.hash(), Arc::clone(&flight))
        } else {
            Some(Arc::clone(&flight))
        };
        if let Some(placeless) = placeless {
            // Nobody else sets it: each flight loses its place once.
            let _ = placeless.open.set(self.open.add([placeless.item.name()]));
        }
        Entered::Lead(Lead { shard: Arc::clone(shard), hash: key.hash(), flight, ended: false })
    }
}

impl Flight {
    /// Waits for the outcome; `None` when the leader went away.
    pub(crate) async fn wait(&self) -> Option<Result<Got>> {
        loop {
            let mut changed = std::pin::pin!(self.changed.notified());
            // Before the look: what ends between the two is heard.
            changed.as_mut().enable();
            match &*self.state() {
                State::Running => {}
                State::Left => return None,
                State::Done(outcome) => return Some(outcome.clone()),
            }
            changed.await;
        }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Lead {
    /// The versions that the load runs under.
    pub(crate) fn snapshot(&self) -> &Snapshot {
        &self.flight.snapshot
    }

    /// Tells under which tokens the load runs.
    pub(crate) fn under(&self, tokens: &LayerTokens) {
        // Set once already where the reader knew them before it began.
        let _ = self.flight.tokens.set(tokens.clone());
    }

    /// The flight itself, to wait for it while another task leads.
    pub(crate) fn flight(&self) -> Arc<Flight> {
        Arc::clone(&self.flight)
    }

    fn end(&mut self, state: impl FnOnce() -> State) {
        if std::mem::replace(&mut self.ended, true) {
            return;
        }
        {
            let mut running = self.shard.running();
            // A load under newer versions may have taken the place.
            if running.get(&self.hash).is_some_and(|flight| Arc::ptr_eq(flight, &self.flight)) {
                running.remove(&self.hash);
            }
        }
        if Arc::strong_count(&self.flight) == 1 {
            // Nobody waits, and nobody can come any more: who joined did so before the lock was taken.
            return;
        }
        *self.flight.state() = state();
        self.flight.changed.notify_waiters();
    }

    /// Gives the outcome to all that wait, if there are any. The value has to be stored before.
    pub(crate) fn finish(mut self, outcome: impl FnOnce() -> Result<Got>) {
        self.end(|| State::Done(outcome()));
    }
}

impl Drop for Lead {
    fn drop(&mut self) {
        self.end(|| State::Left);
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::super::chain::{Chain, ChainConfig};
    use super::super::manual;
    use super::super::rules::Rules;
    use super::*;
    use crate::clock::{Clock, ManualClock};

    fn item(chain: &Chain, key: &str) -> Arc<Item> {
        let limits = Rules::new(Duration::from_secs(60), Duration::ZERO, Duration::ZERO).limits;
        let namespace = [StampName::new("pie:", "n")];
        Arc::new(manual::item(chain, "pie:", &namespace, key, &[], limits).expect("valid"))
    }

    fn lead(flights: &Flights, chain: &Chain, item: &Arc<Item>) -> Lead {
        match flights.enter(item, || chain.stamps.snapshot(item.names()), None) {
            Entered::Lead(lead) => lead,
            Entered::Join(_) => panic!("nobody leads under these versions"),
        }
    }

    /// What a pattern finds.
    fn found(flights: &Flights) -> Vec<String> {
        let mut names: Vec<String> =
            flights.names(|_| true).iter().map(|name| name.as_str().to_owned()).collect();
        names.sort();
        names
    }

    #[test]
    fn a_flight_is_found_by_its_name_from_before_its_versions_are_taken_until_it_ends() {
        let clock = Clock::from(&ManualClock::new());
        let chain = Chain::new(Vec::new(), clock, ChainConfig { bits: 10, ..ChainConfig::default() });
        let (flights, one) = (Flights::default(), item(&chain, "a:1"));
        let leading = lead(&flights, &chain, &one);
        assert_eq!(found(&flights), ["pie:~k:a:1"]);
        assert!(flights.names(|name| name.as_str().ends_with('2')).is_empty());

        // Another takes its place, under newer versions, and ends before it.
        chain.stamps.bump([one.name()]);
        let newer = lead(&flights, &chain, &one);
        assert_eq!(found(&flights), ["pie:~k:a:1", "pie:~k:a:1"]);
        newer.finish(|| panic!("nobody waits"));
        assert_eq!(found(&flights), ["pie:~k:a:1"], "the older one lost its place, not its name");
        drop(leading);
        assert!(found(&flights).is_empty());
    }

    #[test]
    fn a_flight_whose_place_is_that_of_another_key_is_found_as_well() {
        let clock = Clock::from(&ManualClock::new());
        let chain = Chain::new(Vec::new(), clock, ChainConfig { bits: 10, ..ChainConfig::default() });
        let flights = Flights::default();
        let (one, mut two) = (item(&chain, "a:1"), item(&chain, "a:2"));
        // The same hash by chance.
        let full = two.key.lookup().bytes().to_vec();
        let lookup = super::super::key::Lookup { full: &full, hash: one.key.lookup().hash() };
        Arc::get_mut(&mut two).expect("nobody else has it").key =
            super::super::key::Key::new(lookup, "pie:", "a:2", 7);
        let (first, second) = (lead(&flights, &chain, &one), lead(&flights, &chain, &two));
        assert_eq!(found(&flights), ["pie:~k:a:1", "pie:~k:a:2"]);
        drop(first);
        assert_eq!(found(&flights), ["pie:~k:a:2"]);
        drop(second);
        assert!(found(&flights).is_empty());
    }
}
