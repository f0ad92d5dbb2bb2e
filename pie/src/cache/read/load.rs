//! One load: the loader is asked, what it gives is stored, and those who wait are told; for a read, or ahead of one.

use std::sync::Arc;
use std::time::Instant;

use tracing::Instrument;

use super::{Led, Loader, places};
use crate::cache::chain::{Chain, Got, Item, Locking, Single, Ticket, Which};
use crate::cache::entry::Payload;
use crate::cache::rules::Rules;
use crate::error::{Error, ErrorKind, Result};
use crate::heard;
use crate::task;

impl Chain {
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
            if let Ok((mut ticket, lead)) = chain.enter(&items[0]) {
                chain.keep_open(&mut ticket, &items[0]);
                let mut tickets = [Some(ticket)];
                let found = chain.look_up_one(&items[0], tickets[0].as_mut(), Which::Below).await;
                if let [Some(ticket)] = &tickets {
                    lead.under(&ticket.tokens);
                }
                match found {
                    // Another process did it already.
                    Some(found) if !found.stale && !Self::is_aging(&found, &rules) => {
                        lead.finish(|| Ok(Got::Found(found)));
                    }
                    _ => {
                        let led = smallvec::smallvec![(0, lead)];
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

    /// Asks the loader, stores what it gives, and tells those who wait.
    #[allow(
        clippy::manual_async_fn,
        reason = "an `async fn` has each of its arguments twice, and each load waits with room for them"
    )]
    pub(super) fn load(
        self: &Arc<Self>,
        items: &[Arc<Item>],
        led: Led,
        tickets: &mut [Option<Ticket>],
        rules: &Rules,
        loader: &mut (dyn Loader + '_),
        locking: Option<Locking>,
    ) -> impl Future<Output = Result<Single<(usize, Payload)>>> + Send {
        async move {
            let wanted = places(&led);
            let Some((first, _)) = led.first() else { return Ok(Single::new()) };
            let group = self.group(&items[*first]);
            group.loads.add(1);
            let start = Instant::now();
            let span =
                heard::span(|| tracing::debug_span!("pie.load", of = group.name(), values = wanted.len()));
            let loading = loader.load(&wanted);
            let outcome = match span.is_disabled() {
                true => loading.await,
                false => loading.instrument(span).await,
            };
            let payloads = match outcome {
                Ok(payloads) if payloads.len() == led.len() => {
                    group.loaded(start.elapsed());
                    payloads
                }
                Ok(_) => {
                    group.failed_loads.add(1);
                    let error =
                        Error::new(ErrorKind::Decode, "a load gave another number of values than asked for");
                    led.into_iter().for_each(|(_, lead)| lead.finish(|| Err(error.clone())));
                    return Err(error);
                }
                Err(error) => {
                    group.failed_loads.add(1);
                    tracing::debug!(of = group.name(), %error, "a load failed");
                    led.into_iter().for_each(|(_, lead)| lead.finish(|| Err(error.clone())));
                    return Err(error);
                }
            };
            let mut loaded = Single::with_capacity(payloads.len());
            let mut stored = Vec::new();
            pause!();
            // Layers of this process before the flight ends: whoever comes next finds the value there. Shared ones after it.
            for ((i, _), payload) in led.iter().zip(payloads) {
                if let (Some(ttl), Some(ticket)) = (rules.draw(payload.empty), tickets[*i].take()) {
                    stored.extend(self.store_here(&items[*i], payload.clone(), ttl, ticket).await);
                }
                loaded.push((*i, payload));
            }
            pause!();
            for ((_, lead), (_, payload)) in led.into_iter().zip(&loaded) {
                lead.finish(|| Ok(Got::Loaded(payload.clone())));
            }
            if let Some(writing) = self.share(stored) {
                let running = self.tasks.start();
                drop(task::spawn(async move {
                    writing.await;
                    // Others look into the shared layer as soon as they have the lock.
                    drop(locking);
                    drop(running);
                }));
            }
            Ok(loaded)
        }
    }
}
