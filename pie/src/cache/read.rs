//! Reading through the chain: single flight, values past their time, timeouts, the lock across processes.
//!
//! There is one way for all reads, [`Chain::get`], and [`Chain::get_one`] for one value: layers, then the database.
//! What a load does, and loading ahead, is in `load`.

mod load;

use std::sync::Arc;
use std::time::Duration;

use futures_util::future::join_all;

use super::chain::{Chain, Found, Got, Item, Locked, Locking, Single, Ticket, Which};
use super::entry::Payload;
use super::flights::{Entered, Flight, Lead};
use super::layer::BoxFuture;
use super::rules::Rules;
use crate::engine::OnL2Down;
use crate::error::{Error, ErrorKind, Result};
use crate::task;

/// What a read asks when no layer has the value.
pub(crate) trait Loader: Send {
    /// Loads some of the values, by their places among the items of the read; one for each place, in their order.
    fn load<'s>(&'s mut self, wanted: &'s [usize]) -> BoxFuture<'s, Result<Single<Payload>>>;

    /// A loader of some of the values that borrows nothing, for a task of its own: place 0 is the first of `wanted`. `None`
    /// where the loader cannot live without its caller.
    fn detached(&self, wanted: &[usize]) -> Option<Box<dyn Loader>>;
}

/// How far the read of one value is.
#[derive(Default)]
struct State {
    got: Option<Got>,
    /// A value past its time, in case that loading fails.
    fallback: Option<Found>,
}

fn timed_out() -> Error {
    Error::new(ErrorKind::LoadTimeout, "the value was not loaded within the timeout of this read")
}

/// A read under way.
struct Read<'r, 'l> {
    chain: &'r Arc<Chain>,
    items: &'r [Arc<Item>],
    rules: &'r Rules,
    loader: &'r mut (dyn Loader + 'l),
    states: &'r mut [State],
    /// The versions that each item is stored under; taken out when it is.
    tickets: Single<Option<Ticket>>,
    /// Whether this process alone may not answer.
    past_memory: bool,
}

/// How far a read of one value is when it goes on in a box, and its versions.
#[allow(clippy::large_enum_variant, reason = "it goes into a box at once, with the read")]
enum Begun {
    /// It leads, and this is what the layers have.
    Asked(Ticket, Lead, Option<Found>),
    /// Another leads.
    Joined(Arc<Flight>),
}

/// What is left of the first round of a read of one value.
enum Rest {
    Load(Led),
    Join(Arc<Flight>),
}

/// Items to load, by their places, each with the duty to.
type Led = Single<(usize, Lead)>;

fn places(led: &Led) -> Single<usize> {
    led.iter().map(|(i, _)| *i).collect()
}

impl<'r, 'l> Read<'r, 'l> {
    fn new(
        chain: &'r Arc<Chain>,
        items: &'r [Arc<Item>],
        rules: &'r Rules,
        loader: &'r mut (dyn Loader + 'l),
        states: &'r mut [State],
    ) -> Self {
        let past_memory = rules.refresh || rules.skip_memory || !chain.trusts_memory();
        Self { chain, items, rules, loader, states, tickets: Single::new(), past_memory }
    }

    /// Runs so long at most.
    async fn run_within(&mut self, limit: Duration) -> Result<()> {
        task::timeout(limit, self.run()).await.unwrap_or_else(|| Err(timed_out()))
    }

    async fn run(&mut self) -> Result<()> {
        if self.rules.refresh {
            self.chain.invalidate(self.items.iter().map(|item| item.name().clone()).collect()).await;
        }
        // Before anything else: what is loaded from here on counts as loaded under these versions.
        self.tickets = self.chain.local_tickets(self.items);
        pause!();
        if self.past_memory {
            let which = if self.rules.refresh { Which::Tokens } else { Which::Shared };
            let all: Vec<usize> = (0..self.items.len()).collect();
            let found = Box::pin(self.chain.look_up(self.items, &all, &mut self.tickets, which)).await;
            for (i, found) in found.into_iter().enumerate() {
                self.states[i].got = self.judge(found, i);
            }
            self.insist(&all)?;
        }
        self.rounds().await
    }

    /// Enters the flights of what is missing, loads what it leads and waits for the rest, until nothing is missing.
    async fn rounds(&mut self) -> Result<()> {
        loop {
            let missing: Single<usize> =
                (0..self.items.len()).filter(|i| self.states[*i].got.is_none()).collect();
            if missing.is_empty() {
                return Ok(());
            }
            let (mut led, mut joined) = (Led::new(), Single::new());
            for i in missing {
                let item = &self.items[i];
                let ticket = self.tickets[i].get_or_insert_with(|| self.chain.ticket(item));
                let tokens = self.past_memory.then_some(&ticket.tokens);
                match self.chain.flights.enter(item, || ticket.snapshot.clone(), tokens) {
                    Entered::Lead(lead) => led.push((i, lead)),
                    Entered::Join(flight) => joined.push((i, flight)),
                }
            }
            // Own work first, waiting after it: two readers that each wait for the other's would wait for ever.
            pause!();
            if !led.is_empty() {
                self.lead(led).await?;
            }
            for (i, flight) in joined {
                self.join(i, &flight).await?;
            }
        }
    }

    /// Takes up a read of one value whose first round has begun; the rest of the round is to be waited for.
    fn take_up(&mut self, begun: Begun) -> Result<Rest> {
        match begun {
            Begun::Asked(mut ticket, lead, found) => {
                // What is loaded is stored after its flight.
                self.chain.keep_open(&mut ticket, &self.items[0]);
                self.tickets.push(Some(ticket));
                let left = self.settle(0, lead, found).into_iter().collect();
                self.insist(&places(&left))?;
                Ok(Rest::Load(left))
            }
            Begun::Joined(flight) => {
                self.tickets.push(None);
                Ok(Rest::Join(flight))
            }
        }
    }

    /// Goes on with it.
    fn go_on(&mut self, begun: Begun) -> impl Future<Output = Result<()>> + Send {
        let rest = self.take_up(begun);
        async move {
            match rest {
                Ok(Rest::Load(led)) => self.lead_load(led).await?,
                Ok(Rest::Join(flight)) => self.join(0, &flight).await?,
                Err(error) => return Err(error),
            }
            match &*self.states {
                [State { got: Some(_), .. }] => Ok(()),
                _ => Box::pin(self.rounds()).await,
            }
        }
    }

    /// Waits for the load of another.
    async fn join(&mut self, i: usize, flight: &Flight) -> Result<()> {
        // Without an outcome the leader went away: somebody else leads, perhaps this reader.
        let Some(outcome) = flight.wait().await else { return Ok(()) };
        let suits = match &outcome {
            Ok(Got::Found(found)) => self.chain.suits(found, &self.items[i]),
            Ok(Got::Loaded(_)) | Err(_) => true,
        };
        if suits {
            self.chain.group(&self.items[i]).joins.add(1);
            self.states[i].got = Some(outcome?);
        }
        Ok(())
    }

    /// Decides about what the layers have for an item: an answer, or a fallback, or nothing.
    fn judge(&mut self, found: Option<Found>, place: usize) -> Option<Got> {
        let found = found?;
        let item = &self.items[place];
        if !found.stale {
            return Some(Got::Found(found));
        }
        if Chain::servable(&found, item.limits) {
            if !found.entry.claim(found.now, self.rules.hold()) {
                return Some(Got::Found(found));
            }
            if let Some(loader) = self.loader.detached(&[place]) {
                self.chain.refresh_later(Arc::clone(item), *self.rules, loader);
                return Some(Got::Found(found));
            }
        } else if found.entry.is_claimed(found.now) && self.chain.excusable(&found, item) {
            // Loading failed a moment ago.
            return Some(Got::Found(found));
        }
        self.states[place].fallback = Some(found);
        None
    }

    /// A value past its time, where the rules say that it is served while a layer fails.
    fn instead_of_l2(&self, place: usize) -> Option<Got> {
        if self.rules.on_l2_down != OnL2Down::Stale {
            return None;
        }
        self.tickets[place].as_ref()?.failed?;
        let found = self.states[place].fallback.as_ref()?;
        self.chain.excusable(found, &self.items[place]).then(|| Got::Found(found.clone()))
    }

    /// Does what the leader of a flight has to: asks the layers once more, then the loader.
    async fn lead(&mut self, mut led: Led) -> Result<()> {
        if !self.past_memory {
            led = self.ask(led, Which::All).await?;
        }
        self.lead_load(led).await
    }

    /// The same, once the layers were asked: takes the lock where there is one, and asks the loader.
    async fn lead_load(&mut self, mut led: Led) -> Result<()> {
        let mut locking = None;
        if let (Some(lease), [(i, _)]) = (self.rules.lease, &led[..]) {
            let item = &self.items[*i];
            let mut patience = lease;
            loop {
                let released = match Box::pin(self.chain.lock(item, lease)).await {
                    Locked::Nobodys => break,
                    Locked::Mine(mine) => {
                        // Whoever had it before may have filled the cache since it was asked.
                        locking = Some(mine);
                        None
                    }
                    Locked::Theirs(released) => Some(released),
                };
                let mine = released.is_none();
                if let Some(released) = released {
                    // Woken by the holder, or by the end of its lease. Where its message may be missed, by a pause.
                    let pause = match self.chain.is_attached() {
                        true => patience,
                        false => (lease / 8).clamp(5, 250).min(patience),
                    };
                    if Box::pin(task::timeout(Duration::from_millis(pause), released)).await.is_none() {
                        patience = patience.saturating_sub(pause);
                    }
                }
                let which = match (self.rules.refresh, self.past_memory) {
                    (true, _) => Which::Tokens,
                    (_, true) => Which::Shared,
                    _ => Which::Below,
                };
                led = Box::pin(self.ask(led, which)).await?;
                if led.is_empty() || mine || patience == 0 {
                    break;
                }
            }
        }
        if led.is_empty() {
            return Ok(());
        }
        if let Some(soft) = self.rules.soft_timeout {
            let places = places(&led);
            let excused = places.iter().all(|i| {
                let fallback = self.states[*i].fallback.as_ref();
                fallback.is_some_and(|found| self.chain.suits(found, &self.items[*i]))
            });
            if excused && let Some(loader) = self.loader.detached(&places) {
                return Box::pin(self.load_softly(led, (loader, soft), locking)).await;
            }
        }
        let (items, tickets, rules) = (self.items, &mut self.tickets, self.rules);
        // In a box: alone, both have a size that glibc keeps pieces of at hand for each thread.
        let load = Box::pin(self.chain.load(items, led, tickets, rules, self.loader, locking));
        for (i, payload) in load.await? {
            self.states[i].got = Some(Got::Loaded(payload));
        }
        Ok(())
    }

    /// Asks the layers for what is led; what they have ends its flight. Gives what is left.
    ///
    /// # Errors
    /// A layer failed, and the rules insist on it: then the flights are handed over to those who wait, unfinished.
    async fn ask(&mut self, mut led: Led, which: Which) -> Result<Led> {
        let mut left = Led::new();
        match &led[..] {
            [(i, _)] => {
                let (item, ticket) = (&self.items[*i], self.tickets[*i].as_mut());
                let found = self.chain.look_up_one(item, ticket, which).await;
                if let Some((i, lead)) = led.pop() {
                    left.extend(self.settle(i, lead, found));
                }
            }
            _ => {
                let places = places(&led);
                let asking = self.chain.look_up(self.items, &places, &mut self.tickets, which);
                let found = Box::pin(asking).await;
                let led = led.into_iter().zip(found);
                left.extend(led.filter_map(|((i, lead), found)| self.settle(i, lead, found)));
            }
        }
        self.insist(&places(&left))?;
        Ok(left)
    }

    /// Ends a flight with what the layers have; gives it back where that is no answer.
    fn settle(&mut self, i: usize, lead: Lead, found: Option<Found>) -> Option<(usize, Lead)> {
        match self.judge(found, i).or_else(|| self.instead_of_l2(i)) {
            Some(got) => {
                lead.finish(|| Ok(got.clone()));
                self.states[i].got = Some(got);
                None
            }
            None => {
                if let Some(ticket) = &self.tickets[i] {
                    lead.under(&ticket.tokens);
                }
                Some((i, lead))
            }
        }
    }

    /// Fails for values that no layer has because one failed, where the rules say so.
    fn insist(&self, places: &[usize]) -> Result<()> {
        if self.rules.on_l2_down != OnL2Down::Fail {
            return Ok(());
        }
        let missing = places.iter().filter(|i| self.states[**i].got.is_none());
        let failed = missing.filter_map(|i| self.tickets[*i].as_ref()?.failed).next();
        match failed {
            Some(layer) => Err(Error::new(
                ErrorKind::Layer,
                format!("the cache layer `{layer}` failed, and this read does not fall back to the database"),
            )),
            None => Ok(()),
        }
    }

    /// Loads in a task of its own, and waits for a while; what is past its time is served when that is over.
    async fn load_softly(
        &mut self,
        led: Led,
        (mut loader, soft): (Box<dyn Loader>, Duration),
        locking: Option<Locking>,
    ) -> Result<()> {
        let flights: Vec<_> = led.iter().map(|(i, lead)| (*i, lead.flight())).collect();
        let items: Vec<Arc<Item>> = led.iter().map(|(i, _)| Arc::clone(&self.items[*i])).collect();
        let mut tickets: Vec<Option<Ticket>> = led.iter().map(|(i, _)| self.tickets[*i].take()).collect();
        let led: Led = led.into_iter().enumerate().map(|(at, (_, lead))| (at, lead)).collect();
        let (chain, rules, running) = (Arc::clone(self.chain), *self.rules, self.chain.tasks.start());
        drop(task::spawn(async move {
            // The error goes to those who still wait, through their flights.
            let _ = chain.load(&items, led, &mut tickets, &rules, &mut *loader, locking).await;
            drop(running);
        }));
        let all = join_all(flights.iter().map(async |(i, flight)| (*i, flight.wait().await)));
        match task::timeout(soft, all).await {
            Some(outcomes) => {
                for (i, outcome) in outcomes {
                    match outcome {
                        Some(outcome) => self.states[i].got = Some(outcome?),
                        None => return Err(stopped()),
                    }
                }
            }
            None => {
                for (i, _) in flights {
                    self.states[i].got = self.states[i].fallback.take().map(Got::Found);
                }
            }
        }
        Ok(())
    }
}

impl Chain {
    /// Reads values: from the layers, else from the loader. In the order of the items.
    ///
    /// # Errors
    /// What the loader said, or [`ErrorKind::LoadTimeout`].
    pub(crate) async fn get(
        self: &Arc<Self>,
        items: &[Arc<Item>],
        rules: &Rules,
        loader: &mut (dyn Loader + '_),
    ) -> Result<Single<Got>> {
        let mut states: Vec<State> = items.iter().map(|_| State::default()).collect();
        let mut read = Read::new(self, items, rules, loader, &mut states);
        let outcome = match rules.timeout {
            None => read.run().await,
            // In a box, so that the usual way is not as large as both.
            Some(limit) => Box::pin(read.run_within(limit)).await,
        };
        let all = states.into_iter().zip(items).map(|(state, item)| self.answer(state, item, rules));
        // All are counted, also where one has no answer.
        let all: Single<Option<Got>> = all.collect();
        match (all.into_iter().collect::<Option<Single<Got>>>(), outcome) {
            (Some(all), _) => Ok(all),
            (None, Err(error)) => Err(error),
            (None, Ok(())) => unreachable!("a read that ends without an error has an answer for each item"),
        }
    }

    /// The same for one value.
    ///
    /// # Errors
    /// As [`get`](Self::get).
    #[allow(
        clippy::manual_async_fn,
        reason = "an `async fn` has each of its arguments twice, and each read waits with room for them"
    )]
    pub(crate) fn get_one(
        self: &Arc<Self>,
        item: &Arc<Item>,
        rules: &Rules,
        loader: &mut (dyn Loader + '_),
    ) -> impl Future<Output = Result<Got>> + Send {
        async move {
            let past_memory = rules.refresh || rules.skip_memory || !self.trusts_memory();
            let begun = match past_memory || rules.timeout.is_some() {
                true => None,
                false => match self.begin(item).await {
                    Ok(found) => return Ok(Got::Found(found)),
                    Err(begun) => Some(begun),
                },
            };
            Box::pin(self.get_slowly(item, rules, loader, begun)).await
        }
    }

    /// What a [`Read`] of one value does first, up to the answer of the layers; most reads end here, and wait without room for more.
    #[allow(
        clippy::manual_async_fn,
        reason = "an `async fn` has each of its arguments twice, and each read waits with room for them"
    )]
    fn begin(&self, item: &Arc<Item>) -> impl Future<Output = std::result::Result<Found, Begun>> + Send {
        async move {
            let (mut ticket, lead) = self.enter(item).map_err(Begun::Joined)?;
            pause!();
            match self.look_up_one(item, Some(&mut ticket), Which::All).await {
                Some(found) if !found.stale => {
                    lead.finish(|| Ok(Got::Found(found.clone())));
                    self.group(item).later_hits.add_one();
                    Ok(found)
                }
                found => Err(Begun::Asked(ticket, lead, found)),
            }
        }
    }

    /// A read of one value, from its beginning or from where it is.
    #[allow(
        clippy::manual_async_fn,
        reason = "an `async fn` has each of its arguments twice, and each load waits with room for them"
    )]
    fn get_slowly(
        self: &Arc<Self>,
        item: &Arc<Item>,
        rules: &Rules,
        loader: &mut (dyn Loader + '_),
        begun: Option<Begun>,
    ) -> impl Future<Output = Result<Got>> + Send {
        async move {
            let mut states = [State::default()];
            let mut read = Read::new(self, std::slice::from_ref(item), rules, loader, &mut states);
            // Decided when it began, also if messages stopped to arrive since.
            read.past_memory &= begun.is_none();
            // All but the usual way in boxes, so that it is not as large as they are.
            let outcome = match begun {
                Some(begun) => read.go_on(begun).await,
                None => match rules.timeout {
                    None => Box::pin(read.run()).await,
                    Some(limit) => Box::pin(read.run_within(limit)).await,
                },
            };
            let [state] = states;
            match (self.answer(state, item, rules), outcome) {
                (Some(got), _) => Ok(got),
                (None, Err(error)) => Err(error),
                (None, Ok(())) => unreachable!("a read that ends without an error has an answer"),
            }
        }
    }

    /// The answer of a read that came so far, which is counted.
    fn answer(&self, state: State, item: &Item, rules: &Rules) -> Option<Got> {
        let got = state.got.or_else(|| {
            let found = state.fallback.filter(|found| self.excusable(found, item))?;
            found.entry.hold_off(self.clock.steady(), rules.throttle);
            Some(Got::Found(found))
        });
        let group = self.group(item);
        match &got {
            Some(Got::Found(found)) => {
                group.later_hits.add_one();
                if found.stale {
                    group.stale.add(1);
                }
            }
            Some(Got::Loaded(_)) | None => group.misses.add(1),
        }
        got
    }
}

fn stopped() -> Error {
    Error::new(
        ErrorKind::Interrupted,
        "the task of a load was stopped: it panicked, or the runtime shut down",
    )
}
