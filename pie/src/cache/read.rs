//! Reading through the chain: single flight, values past their time, timeouts, the lock across processes.
//!
//! There is one way for all reads, [`Chain::get`]: layers, then the database, for one value or for many.

use std::sync::Arc;
use std::time::Duration;

use futures_util::future::join_all;

use super::chain::{Chain, Found, Got, Item, Locked, Locking, Ticket, Which};
use super::entry::Payload;
use super::flights::{Entered, Lead};
use super::layer::BoxFuture;
use super::rules::Rules;
use crate::error::{Error, ErrorKind, Result};
use crate::task;

/// What a read asks when no layer has the value.
pub(crate) trait Loader: Send {
    /// Loads some of the values, by their places among the items of the read; one for each place, in their order.
    fn load<'s>(&'s mut self, wanted: &'s [usize]) -> BoxFuture<'s, Result<Vec<Payload>>>;

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
    ) -> Result<Vec<Got>> {
        let mut states: Vec<State> = items.iter().map(|_| State::default()).collect();
        let work = self.attend(items, rules, loader, &mut states);
        let outcome = match rules.timeout {
            None => work.await,
            Some(limit) => task::timeout(limit, work).await.unwrap_or_else(|| Err(timed_out())),
        };
        let mut all = Vec::with_capacity(items.len());
        for (state, item) in states.into_iter().zip(items) {
            let got = state.got.or_else(|| {
                let found = state.fallback.filter(|found| self.excusable(found, item))?;
                found.entry.hold_off(self.clock.steady(), rules.throttle);
                Some(Got::Found(found))
            });
            match &got {
                Some(Got::Found(found)) => {
                    self.counters.hits.add(1);
                    self.counters.stale.add(u64::from(found.stale));
                }
                Some(Got::Loaded(_)) | None => self.counters.misses.add(1),
            }
            all.push(got);
        }
        match (all.into_iter().collect::<Option<Vec<Got>>>(), outcome) {
            (Some(all), _) => Ok(all),
            (None, Err(error)) => Err(error),
            (None, Ok(())) => unreachable!("a read that ends without an error has an answer for each item"),
        }
    }

    async fn attend(
        self: &Arc<Self>,
        items: &[Arc<Item>],
        rules: &Rules,
        loader: &mut (dyn Loader + '_),
        states: &mut [State],
    ) -> Result<()> {
        if rules.refresh {
            self.invalidate(items.iter().map(|item| item.name().clone()).collect()).await;
        }
        // Before anything else: what is loaded from here on counts as loaded under these versions.
        let mut tickets: Vec<Option<Ticket>> = items.iter().map(|item| Some(self.ticket(item))).collect();
        // Whether this process alone may not answer.
        let past_memory = rules.refresh || rules.skip_memory || !self.trusts_memory();
        pause!();
        if past_memory {
            let which = if rules.refresh { Which::Tokens } else { Which::Shared };
            let all: Vec<usize> = (0..items.len()).collect();
            let found = self.look_up(items, &all, &mut tickets, which).await;
            for (i, found) in found.into_iter().enumerate() {
                states[i].got = self.judge(found, i, items, rules, loader, &mut states[i].fallback);
            }
        }
        loop {
            let missing: Vec<usize> = (0..items.len()).filter(|i| states[*i].got.is_none()).collect();
            if missing.is_empty() {
                return Ok(());
            }
            let (mut led, mut joined) = (Vec::new(), Vec::new());
            for i in missing {
                let ticket = tickets[i].get_or_insert_with(|| self.ticket(&items[i]));
                match self.flights.enter(items[i].key.lookup(), ticket, past_memory) {
                    Entered::Lead(lead) => led.push((i, lead)),
                    Entered::Join(flight) => joined.push((i, flight)),
                }
            }
            // Own work first, waiting after it: two readers that each wait for the other's would wait for ever.
            pause!();
            if !led.is_empty() {
                self.lead(items, led, &mut tickets, rules, loader, states, past_memory).await?;
            }
            for (i, flight) in joined {
                match flight.wait().await {
                    Some(Ok(got)) => {
                        let suits = match &got {
                            Got::Found(found) => self.suits(found, &items[i]),
                            Got::Loaded(_) => true,
                        };
                        if suits {
                            self.counters.joins.add(1);
                            states[i].got = Some(got);
                        }
                    }
                    Some(Err(error)) => {
                        self.counters.joins.add(1);
                        return Err(error);
                    }
                    // The leader went away: somebody else leads, perhaps this reader.
                    None => {}
                }
            }
        }
    }

    /// Decides about what the layers have: an answer, or a fallback, or nothing.
    fn judge(
        self: &Arc<Self>,
        found: Option<Found>,
        place: usize,
        items: &[Arc<Item>],
        rules: &Rules,
        loader: &mut (dyn Loader + '_),
        fallback: &mut Option<Found>,
    ) -> Option<Got> {
        let found = found?;
        let item = &items[place];
        if !found.stale {
            return Some(Got::Found(found));
        }
        if Self::servable(&found, item.limits) {
            if !found.entry.claim(found.now, rules.hold()) {
                return Some(Got::Found(found));
            }
            if let Some(loader) = loader.detached(&[place]) {
                self.refresh_later(Arc::clone(item), *rules, loader);
                return Some(Got::Found(found));
            }
        } else if found.entry.is_claimed(found.now) && self.excusable(&found, item) {
            // Loading failed a moment ago.
            return Some(Got::Found(found));
        }
        *fallback = Some(found);
        None
    }

    /// Loads a value anew in a task of its own, unless a load of it is running.
    pub(crate) fn refresh_later(
        self: &Arc<Self>,
        item: Arc<Item>,
        rules: Rules,
        mut loader: Box<dyn Loader>,
    ) {
        let (chain, running) = (Arc::clone(self), self.tasks.start());
        drop(task::spawn(async move {
            let items = [item];
            let mut tickets = [Some(chain.ticket(&items[0]))];
            if let [Some(ticket)] = &tickets
                && let Entered::Lead(lead) = chain.flights.enter(items[0].key.lookup(), ticket, false)
            {
                let found = chain.look_up(&items, &[0], &mut tickets, Which::Below).await.pop().flatten();
                if let [Some(ticket)] = &tickets {
                    lead.under(&ticket.tokens);
                }
                match found {
                    // Another process did it already.
                    Some(found) if !found.stale && !Self::is_aging(&found, &rules) => {
                        lead.finish(Ok(Got::Found(found)));
                    }
                    _ => {
                        let led = vec![(0, lead)];
                        if let Err(error) =
                            chain.load(&items, led, &mut tickets, &rules, &mut *loader, None).await
                        {
                            tracing::debug!(%error, "a value could not be loaded anew; the old one is served on");
                        }
                    }
                }
            }
            drop(running);
        }));
    }

    /// Does what the leader of a flight has to: asks the layers once more, then the loader.
    #[allow(clippy::too_many_arguments, reason = "the whole state of a read, in one place only")]
    async fn lead(
        self: &Arc<Self>,
        items: &[Arc<Item>],
        led: Vec<(usize, Lead)>,
        tickets: &mut [Option<Ticket>],
        rules: &Rules,
        loader: &mut (dyn Loader + '_),
        states: &mut [State],
        past_memory: bool,
    ) -> Result<()> {
        let mut led = led;
        if !past_memory {
            led = self.ask(items, led, tickets, rules, loader, states, Which::All).await;
        }
        let mut locking = None;
        if let (Some(lease), [(i, _)]) = (rules.lease, &led[..]) {
            let i = *i;
            let mut patience = lease;
            loop {
                let released = match self.lock(&items[i], lease).await {
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
                    let pause =
                        if self.is_attached() { patience } else { (lease / 8).clamp(5, 250).min(patience) };
                    task::timeout(Duration::from_millis(pause), released).await;
                    patience = patience.saturating_sub(pause);
                }
                let which = match (rules.refresh, past_memory) {
                    (true, _) => Which::Tokens,
                    (_, true) => Which::Shared,
                    _ => Which::Below,
                };
                led = self.ask(items, led, tickets, rules, loader, states, which).await;
                if led.is_empty() || mine || patience == 0 {
                    break;
                }
            }
        }
        if led.is_empty() {
            return Ok(());
        }
        if let Some(soft) = rules.soft_timeout {
            let places: Vec<usize> = led.iter().map(|(i, _)| *i).collect();
            let excused = places
                .iter()
                .all(|i| states[*i].fallback.as_ref().is_some_and(|found| self.suits(found, &items[*i])));
            if excused && let Some(loader) = loader.detached(&places) {
                return self.load_softly(items, led, tickets, rules, (loader, soft), states, locking).await;
            }
        }
        for (i, payload) in self.load(items, led, tickets, rules, loader, locking).await? {
            states[i].got = Some(Got::Loaded(payload));
        }
        Ok(())
    }

    /// Asks the layers for what is led; what they have ends its flight. Gives what is left.
    #[allow(clippy::too_many_arguments, reason = "the whole state of a read, in one place only")]
    async fn ask(
        self: &Arc<Self>,
        items: &[Arc<Item>],
        led: Vec<(usize, Lead)>,
        tickets: &mut [Option<Ticket>],
        rules: &Rules,
        loader: &mut (dyn Loader + '_),
        states: &mut [State],
        which: Which,
    ) -> Vec<(usize, Lead)> {
        let wanted: Vec<usize> = led.iter().map(|(i, _)| *i).collect();
        let found = self.look_up(items, &wanted, tickets, which).await;
        let mut left = Vec::new();
        for ((i, lead), found) in led.into_iter().zip(found) {
            if let Some(ticket) = &tickets[i] {
                lead.under(&ticket.tokens);
            }
            match self.judge(found, i, items, rules, loader, &mut states[i].fallback) {
                Some(got) => {
                    lead.finish(Ok(got.clone()));
                    states[i].got = Some(got);
                }
                None => left.push((i, lead)),
            }
        }
        left
    }

    /// Loads in a task of its own, and waits for a while; what is past its time is served when that is over.
    #[allow(clippy::too_many_arguments, reason = "the whole state of a read, in one place only")]
    async fn load_softly(
        self: &Arc<Self>,
        items: &[Arc<Item>],
        led: Vec<(usize, Lead)>,
        tickets: &mut [Option<Ticket>],
        rules: &Rules,
        (mut loader, soft): (Box<dyn Loader>, Duration),
        states: &mut [State],
        locking: Option<Locking>,
    ) -> Result<()> {
        let flights: Vec<_> = led.iter().map(|(i, lead)| (*i, lead.flight())).collect();
        let part: Vec<Arc<Item>> = led.iter().map(|(i, _)| Arc::clone(&items[*i])).collect();
        let mut taken: Vec<Option<Ticket>> = led.iter().map(|(i, _)| tickets[*i].take()).collect();
        let led: Vec<(usize, Lead)> = led.into_iter().enumerate().map(|(at, (_, lead))| (at, lead)).collect();
        let (chain, rules, running) = (Arc::clone(self), *rules, self.tasks.start());
        drop(task::spawn(async move {
            // The error goes to those who still wait, through their flights.
            let _ = chain.load(&part, led, &mut taken, &rules, &mut *loader, locking).await;
            drop(running);
        }));
        let all = join_all(flights.iter().map(async |(i, flight)| (*i, flight.wait().await)));
        match task::timeout(soft, all).await {
            Some(outcomes) => {
                for (i, outcome) in outcomes {
                    match outcome {
                        Some(outcome) => states[i].got = Some(outcome?),
                        None => return Err(stopped()),
                    }
                }
            }
            None => {
                for (i, _) in flights {
                    if let Some(found) = states[i].fallback.take() {
                        states[i].got = Some(Got::Found(found));
                    }
                }
            }
        }
        Ok(())
    }

    /// Asks the loader, stores what it gives, and tells those who wait.
    async fn load(
        self: &Arc<Self>,
        items: &[Arc<Item>],
        led: Vec<(usize, Lead)>,
        tickets: &mut [Option<Ticket>],
        rules: &Rules,
        loader: &mut (dyn Loader + '_),
        locking: Option<Locking>,
    ) -> Result<Vec<(usize, Payload)>> {
        let wanted: Vec<usize> = led.iter().map(|(i, _)| *i).collect();
        self.counters.loads.add(1);
        let payloads = match loader.load(&wanted).await {
            Ok(payloads) if payloads.len() == led.len() => payloads,
            Ok(_) => {
                let error =
                    Error::new(ErrorKind::Decode, "a load gave another number of values than asked for");
                led.into_iter().for_each(|(_, lead)| lead.finish(Err(error.clone())));
                return Err(error);
            }
            Err(error) => {
                led.into_iter().for_each(|(_, lead)| lead.finish(Err(error.clone())));
                return Err(error);
            }
        };
        let mut loaded = Vec::with_capacity(payloads.len());
        let mut values = Vec::with_capacity(payloads.len());
        for ((i, _), payload) in led.iter().zip(payloads) {
            if let (Some(ttl), Some(ticket)) = (rules.draw(payload.empty), tickets[*i].take()) {
                values.push((Arc::clone(&items[*i]), payload.clone(), ttl, ticket));
            }
            loaded.push((*i, payload));
        }
        pause!();
        // Layers of this process before the flight ends: whoever comes next finds the value there. Shared ones after it.
        let writing = self.store_here(values).await;
        pause!();
        for ((_, lead), (_, payload)) in led.into_iter().zip(&loaded) {
            lead.finish(Ok(Got::Loaded(payload.clone())));
        }
        if let Some(writing) = writing {
            drop(task::spawn(async move {
                writing.await;
                // Others look into the shared layer as soon as they have the lock.
                drop(locking);
            }));
        }
        Ok(loaded)
    }
}

fn stopped() -> Error {
    Error::new(
        ErrorKind::Interrupted,
        "the task of a load was stopped: it panicked, or the runtime shut down",
    )
}
