//! The one read path: memory at once, then the other layers, then the database, then back into the layers.

use std::sync::Arc;
use std::task::{Context, Poll};

use super::Engine;
use crate::cache::chain::{Found, Item, Looked, Peeked, Ticket};
use crate::cache::entry::Payload;
use crate::cache::key::{Key, Lookup};
use crate::cache::stamps::StampName;
use crate::database::{Row, Session};
use crate::error::Result;
use crate::model::Datum;
use crate::plan::ReadPlan;
use crate::plan::filter::{Comparison, Condition};
use crate::plan::text::{Text, push_data};
use crate::query::Source;
use crate::query::Target;
use crate::query::read::{Slow, check_page};
use crate::query::shape::{Answer, Fetch, Loaded, ShapeTable};
use crate::query::spec::{Args, Effective, From, KeyText, Options, Spec};

/// How far a query's future has come.
#[allow(
    clippy::large_enum_variant,
    reason = "a box around the first state would be the allocation that a hit does without"
)]
pub(crate) enum Step<'a> {
    /// Not polled yet.
    Start { on: Target<'a>, spec: Spec<'a>, page: (u64, u64) },
    /// Not in memory: going on in a box.
    Slow(Slow<'a>),
    /// Between two states, and after the answer.
    Done,
}

impl Step<'_> {
    pub(crate) fn poll(
        &mut self,
        context: &mut Context<'_>,
        table: &'static ShapeTable,
    ) -> Poll<Result<Answer>> {
        if let Step::Start { on, spec, page } = self
            && let Err(error) = check(*on, *page, table)
        {
            let error = error.with_query(spec.name(table));
            *self = Step::Done;
            return Poll::Ready(Err(error));
        }
        if let Step::Start { on: Target::Engine(engine), spec, .. } = self {
            let policy = Effective::of(&spec.options, spec.schema, engine.config());
            if policy.enabled && !spec.options.refresh {
                let key = spec.key(table, engine.inner_scope());
                let lookup = engine.lookup(&key);
                match engine.chain().peek(lookup, policy.max_age()) {
                    Peeked::Hit(found) => {
                        *self = Step::Done;
                        return Poll::Ready(Ok(answer(&found)));
                    }
                    Peeked::Miss => return self.go_on(context, table, 1),
                    Peeked::Unasked => {}
                }
            }
        }
        self.go_on(context, table, 0)
    }

    fn go_on(
        &mut self,
        context: &mut Context<'_>,
        table: &'static ShapeTable,
        asked: usize,
    ) -> Poll<Result<Answer>> {
        if matches!(self, Step::Start { .. })
            && let Step::Start { on, spec, page } = std::mem::replace(self, Step::Done)
        {
            *self = Step::Slow(Box::pin(async move {
                let name = spec.name(table);
                read(on, spec, page, table, asked).await.map_err(|error| error.with_query(name))
            }));
        }
        match self {
            Step::Slow(future) => {
                let polled = future.as_mut().poll(context);
                if polled.is_ready() {
                    *self = Step::Done;
                }
                polled
            }
            // Polled after it was ready, which a future need not survive; pending is the harmless answer.
            Step::Start { .. } | Step::Done => Poll::Pending,
        }
    }
}

/// What no read may do, whoever would answer it.
fn check(on: Target<'_>, page: (u64, u64), table: &'static ShapeTable) -> Result<()> {
    on.engine().check_open()?;
    if table.fetch == Fetch::Page { check_page(page) } else { Ok(()) }
}

fn answer(found: &Found) -> Answer {
    let age = found.now.saturating_sub(found.entry.loaded_at());
    Answer { value: Arc::clone(found.entry.value()), source: found.source, age }
}

fn fresh(payload: Payload) -> Answer {
    Answer { value: payload.value, source: Source::Database, age: 0 }
}

/// Runs a read where it belongs: past the cache in a transaction, through it on an engine.
async fn read(
    on: Target<'_>,
    spec: Spec<'_>,
    page: (u64, u64),
    table: &'static ShapeTable,
    asked: usize,
) -> Result<Answer> {
    match on {
        Target::Tx(tx) => {
            let mut session = tx.session().await?;
            load(&mut *session, &spec, page, table).await.map(fresh)
        }
        Target::Engine(engine) => engine.read(spec, page, table, asked).await,
    }
}

/// Asks the database.
async fn load(
    session: &mut (dyn Session + '_),
    spec: &Spec<'_>,
    page: (u64, u64),
    table: &'static ShapeTable,
) -> Result<Payload> {
    let (plan, total) = spec.plans(table.fetch, spec.condition());
    let rows = session.read(&plan).await?;
    let total = match total {
        Some(plan) => crate::query::shape::number(&session.read(&plan).await?)?,
        None => 0,
    };
    (table.build)(Loaded { rows, total, page })
}

impl Engine {
    pub(crate) fn lookup<'k>(&self, key: &'k KeyText) -> Lookup<'k> {
        Lookup { full: &key.full, hash: self.chain().stamps.hash(&key.full) }
    }

    /// Everything the chain needs to know of one read.
    fn item(
        &self,
        spec: &Spec<'_>,
        condition: Option<&Condition>,
        key: &KeyText,
        table: &'static ShapeTable,
        policy: Effective,
    ) -> Result<Item> {
        let logical = key.logical();
        let namespaces = self.namespaces();
        let names = spec.names(&logical, condition, namespaces.len())?;
        let mut stamps = self.stamps(&names);
        stamps.extend(namespaces);
        let lookup = self.lookup(key);
        Ok(Item {
            key: Key::new(lookup.full, lookup.hash, self.scope(), &logical, &key.suffix()),
            names: stamps,
            max_age: policy.max_age(),
            codec: &table.codec,
        })
    }

    async fn read(
        &self,
        spec: Spec<'_>,
        page: (u64, u64),
        table: &'static ShapeTable,
        asked: usize,
    ) -> Result<Answer> {
        let policy = Effective::of(&spec.options, spec.schema, self.config());
        let mut session = self.database().session();
        if !policy.enabled {
            return load(&mut *session, &spec, page, table).await.map(fresh);
        }
        let key = spec.key(table, self.inner_scope());
        let item = self.item(&spec, spec.condition().as_ref(), &key, table, policy)?;
        drop(key);
        let items = [item];
        let ticket = self.begin_load(&items, spec.options.refresh, asked).await.into_iter().next();
        let ticket = match ticket {
            Some(Looked::Hit(found)) => return Ok(answer(&found)),
            Some(Looked::Miss(ticket)) => ticket,
            None => return load(&mut *session, &spec, page, table).await.map(fresh),
        };
        self.chain().counters.loads.add(1);
        let payload = load(&mut *session, &spec, page, table).await?;
        let [item] = items;
        self.keep(item, &payload, policy, ticket).await;
        Ok(fresh(payload))
    }

    /// Looks values up; for a refresh makes them invalid instead, and takes the versions of now.
    async fn begin_load(&self, items: &[Item], refresh: bool, asked: usize) -> Vec<Looked> {
        if !refresh {
            return self.chain().look_up(items, asked).await;
        }
        let own: Vec<StampName> = items.iter().filter_map(|item| item.names.first().cloned()).collect();
        self.chain().invalidate(own).await;
        self.chain().counters.misses.add(items.len() as u64);
        self.chain().tickets(items).await.into_iter().map(Looked::Miss).collect()
    }

    async fn keep(&self, item: Item, payload: &Payload, policy: Effective, ticket: Ticket) {
        if let Some(ttl) = policy.draw(payload.empty) {
            self.chain().store(item, payload.clone(), ttl, ticket).await;
        }
    }
}

/// Reads many rows by their ids: one look-up for each, one round trip to each shared layer, one load for what is missing.
pub(crate) async fn read_many(
    on: Target<'_>,
    schema: &'static crate::model::Schema,
    ids: Vec<Args<'_>>,
    options: Options,
    table: &'static ShapeTable,
) -> Result<Vec<Answer>> {
    let engine = on.engine();
    engine.check_open()?;
    if let Target::Tx(tx) = on {
        let mut session = tx.session().await?;
        let payloads = load_many(&mut *session, schema, &ids, engine.database().max_values(), table).await?;
        return Ok(payloads.into_iter().map(fresh).collect());
    }
    let policy = Effective::of(&options, schema, engine.config());
    let mut session = engine.database().session();
    if !policy.enabled {
        let payloads = load_many(&mut *session, schema, &ids, engine.database().max_values(), table).await?;
        return Ok(payloads.into_iter().map(fresh).collect());
    }

    let mut answers: Vec<Option<Answer>> = Vec::with_capacity(ids.len());
    let mut missing: Vec<usize> = Vec::new();
    let mut items: Vec<Item> = Vec::new();
    let mut asked = 1;
    for (at, id) in ids.iter().enumerate() {
        let mut spec = Spec::new(schema, From::Row(&schema.id), id.clone());
        spec.options = options.clone();
        let key = spec.key(table, engine.inner_scope());
        if !options.refresh {
            match engine.chain().peek(engine.lookup(&key), policy.max_age()) {
                Peeked::Hit(found) => {
                    answers.push(Some(answer(&found)));
                    continue;
                }
                Peeked::Miss => {}
                Peeked::Unasked => asked = 0,
            }
        }
        answers.push(None);
        missing.push(at);
        items.push(engine.item(&spec, None, &key, table, policy)?);
    }

    let mut wanted: Vec<(usize, Item, Ticket)> = Vec::new();
    let looked = engine.begin_load(&items, options.refresh, asked).await;
    for ((at, item), looked) in missing.into_iter().zip(items).zip(looked) {
        match looked {
            Looked::Hit(found) => answers[at] = Some(answer(&found)),
            Looked::Miss(ticket) => wanted.push((at, item, ticket)),
        }
    }
    if !wanted.is_empty() {
        engine.chain().counters.loads.add(1);
        let ids: Vec<Args<'_>> = wanted.iter().map(|(at, ..)| ids[*at].clone()).collect();
        let payloads = load_many(&mut *session, schema, &ids, engine.database().max_values(), table).await?;
        for ((at, item, ticket), payload) in wanted.into_iter().zip(payloads) {
            engine.keep(item, &payload, policy, ticket).await;
            answers[at] = Some(fresh(payload));
        }
    }
    Ok(answers.into_iter().flatten().collect())
}

/// The condition that picks rows by the values of an id.
pub(crate) fn id_condition(columns: &[usize], ids: &[Args<'_>]) -> Condition {
    match columns {
        [column] => {
            let values = ids.iter().filter_map(|id| id.first()).map(|id| id.clone().into_owned()).collect();
            Condition::In(*column, false, values)
        }
        _ => Condition::Any(
            ids.iter()
                .map(|id| {
                    let pairs = columns.iter().zip(id);
                    Condition::All(
                        pairs
                            .map(|(column, value)| {
                                Condition::Compare(*column, Comparison::Eq, value.clone().into_owned())
                            })
                            .collect(),
                    )
                })
                .collect(),
        ),
    }
    .normal()
}

/// The rows of some ids, in their order; several statements only where one cannot bind them all.
async fn load_many(
    session: &mut (dyn Session + '_),
    schema: &'static crate::model::Schema,
    ids: &[Args<'_>],
    max_values: usize,
    table: &'static ShapeTable,
) -> Result<Vec<Payload>> {
    /// SQLite's parser nests `OR` and stops at a depth of 1,000.
    const MAX_ALTERNATIVES: usize = 400;
    let text = |values: &mut dyn Iterator<Item = &Datum<'_>>| -> Text {
        let mut out = Text::new();
        for (i, value) in values.enumerate() {
            if i > 0 {
                out.push(b',');
            }
            push_data(&mut out, std::iter::once(value));
        }
        out
    };
    let columns = schema.id.columns;
    let chunk =
        if columns.len() == 1 { max_values } else { MAX_ALTERNATIVES.min(max_values / columns.len().max(1)) };

    // Each id once, in a fixed order, so that the same ids are the same statement.
    let mut distinct: Vec<(Text, &Args<'_>)> = ids.iter().map(|id| (text(&mut id.iter()), id)).collect();
    distinct.sort_by(|a, b| a.0.cmp(&b.0));
    distinct.dedup_by(|a, b| a.0 == b.0);

    let mut found: std::collections::HashMap<Text, Row> =
        std::collections::HashMap::with_capacity(distinct.len());
    for part in distinct.chunks(chunk.max(1)) {
        let part: Vec<Args<'_>> = part.iter().map(|(_, id)| (*id).clone()).collect();
        let plan = ReadPlan::rows(schema, Some(id_condition(columns, &part)));
        for row in session.read(&plan).await? {
            let id: Vec<Datum<'static>> = super::write::canonical_values(schema, columns, &row)?;
            found.insert(text(&mut id.iter()), row);
        }
    }
    ids.iter()
        .map(|id| {
            let rows = found.get(&text(&mut id.iter())).cloned().into_iter().collect();
            (table.build)(Loaded { rows, total: 0, page: (0, 0) })
        })
        .collect()
}
