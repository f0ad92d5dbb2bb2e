//! The one read path: memory at once, then the other layers, then the database, then back into the layers.

use std::borrow::{Borrow, Cow};
use std::ops::Deref;
use std::sync::Arc;
use std::task::{Context, Poll};

use smallvec::smallvec;
use tracing::{Instrument, Span};

use super::Engine;
use super::tx::Tx;
use crate::cache::BoxFuture;
use crate::cache::chain::{Found, Got, Item, Seen, Single};
use crate::cache::entry::Payload;
use crate::cache::groups::Group;
use crate::cache::key::{Key, Lookup};
use crate::cache::read::Loader;
use crate::cache::rules::Limits;
use crate::database::{Database, Row, Session};
use crate::error::{Error, Result};
use crate::heard;
use crate::layers::memory::{Look, Sight};
use crate::model::{Datum, Schema};
use crate::plan::ReadPlan;
use crate::plan::filter::{Comparison, Condition};
use crate::plan::text::{Text, push_data};
use crate::query::policy::{Effective, Options};
use crate::query::read::{Slow, check_page};
use crate::query::shape::{Answer, Fetch, Loaded, ShapeTable, Share};
use crate::query::spec::{Args, From, Spec};
use crate::query::{Target, Told};

/// How far a query's future has come.
#[allow(
    clippy::large_enum_variant,
    reason = "a box around the first state would be the allocation that a hit does without"
)]
pub(crate) enum Step<'a> {
    /// Not polled yet.
    Start { on: Target<'a>, spec: Spec<'a> },
    /// Not in memory: going on in a box.
    Slow(Slow<'a>),
    /// What it may not do.
    Failed(Error),
    /// Between two states, and after the answer.
    Done,
}

impl Step<'_> {
    /// What the first layer has, before anything is waited for; without it [`go_on`](Self::go_on) has the answer.
    #[inline(never)]
    pub(crate) fn at_once(&mut self, table: &'static ShapeTable, told: &mut Told) -> Look {
        let Step::Start { on, spec } = self else { return Look::none() };
        if let Err(error) = check(*on, spec, table) {
            return self.fail(error, table);
        }
        let Target::Engine(engine) = *on else { return Look::none() };
        let chain = engine.chain();
        let id = (spec.schema.group)();
        let group = chain.groups.of(id);
        // Its own way to the end: two ways that meet would hand over what they found through memory.
        let (true, Some(key)) = (engine.inner_scope().is_empty(), spec.bare_key(id, table)) else {
            return self.other_at_once(table, told);
        };
        let Some(plain) = engine.plain_policy(group, spec) else { return self.other_at_once(table, told) };
        if !plain.enabled || !chain.is_enabled() {
            return Look::none();
        }
        let Some(seen) = chain.peek_here(engine.lookup(&key), &plain.rules, group) else {
            return Look::none();
        };
        self.served(table, seen, told)
    }

    /// As [`at_once`](Self::at_once), for any read.
    #[inline(never)]
    fn other_at_once(&mut self, table: &'static ShapeTable, told: &mut Told) -> Look {
        let Step::Start { on: Target::Engine(engine), spec } = self else { return Look::none() };
        let Some(seen) = engine.peek(spec, table) else { return Look::none() };
        self.served(table, seen, told)
    }

    #[inline(always)]
    fn served(&mut self, table: &'static ShapeTable, seen: Seen, told: &mut Told) -> Look {
        let Seen { sight, told: what, aging } = seen;
        *told = what;
        if aging {
            return self.renew(table, sight);
        }
        match self {
            // Nothing of it is on the heap, and finding that out by dropping it takes longer.
            Step::Start { spec, .. } if spec.is_light() => {
                std::mem::forget(std::mem::replace(self, Step::Done));
            }
            _ => *self = Step::Done,
        }
        Look::of(sight)
    }

    #[cold]
    fn fail(&mut self, error: Error, table: &'static ShapeTable) -> Look {
        let error = match self {
            Step::Start { spec, .. } => error.with_query(spec.name(table).to_string()),
            Step::Failed(_) | Step::Slow(_) | Step::Done => error,
        };
        *self = Step::Failed(error);
        Look::none()
    }

    /// What is served at once is loaded anew in a task of its own.
    #[cold]
    fn renew(&mut self, table: &'static ShapeTable, sight: Sight) -> Look {
        if let Step::Start { on: Target::Engine(engine), spec } = std::mem::replace(self, Step::Done)
            && let Err(error) = engine.renew(spec, table)
        {
            return self.fail(error, table);
        }
        Look::of(sight)
    }

    /// Goes on where nothing was there at once.
    #[cold]
    pub(crate) fn go_on(
        &mut self,
        context: &mut Context<'_>,
        table: &'static ShapeTable,
    ) -> Poll<Result<Answer>> {
        if matches!(self, Step::Start { .. })
            && let Step::Start { on, spec } = std::mem::replace(self, Step::Done)
        {
            let span = heard::span(|| span(&spec, table));
            let reading = reading(on, spec, table);
            *self = Step::Slow(match span.is_disabled() {
                true => Box::pin(reading),
                false => Box::pin(reading.instrument(span)),
            });
        }
        if matches!(self, Step::Failed(_))
            && let Step::Failed(error) = std::mem::replace(self, Step::Done)
        {
            return Poll::Ready(Err(error));
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
            Step::Start { .. } | Step::Failed(_) | Step::Done => Poll::Pending,
        }
    }
}

#[cold]
fn span(spec: &Spec<'_>, table: &'static ShapeTable) -> Span {
    let query = spec.name(table).to_string();
    tracing::debug_span!("pie.read", model = spec.schema.model, query)
}

/// What no read may do, whoever would answer it.
fn check(on: Target<'_>, spec: &Spec<'_>, table: &'static ShapeTable) -> Result<()> {
    on.engine().check_open()?;
    if table.fetch == Fetch::Page { check_page(spec.rest().page) } else { Ok(()) }
}

fn answer(found: &Found) -> Answer {
    let Payload { value, empty } = found.entry.payload();
    Answer { value: Share::Own(value), empty, told: found.told() }
}

fn fresh(payload: Payload) -> Answer {
    Answer { value: Share::Own(payload.value), empty: payload.empty, told: Told::LOADED }
}

fn got(got: Got) -> Answer {
    match got {
        Got::Found(found) => answer(&found),
        Got::Loaded(payload) => fresh(payload),
    }
}

/// Asks the database for one read.
struct LoadOne<E, S> {
    engine: E,
    spec: S,
    table: &'static ShapeTable,
}

impl<'a, E, S> Loader for LoadOne<E, S>
where
    E: Borrow<Engine> + Send + Sync,
    S: Deref<Target = Spec<'a>> + Send + Sync,
{
    fn load<'s>(&'s mut self, _wanted: &'s [usize]) -> BoxFuture<'s, Result<Single<Payload>>> {
        Box::pin(async move {
            let engine = self.engine.borrow();
            let load = load(Asked::Alone(engine.database()), &self.spec, self.table);
            let payload = match engine.takes_turns(self.spec.schema) {
                false => load.await?,
                // In a box: what waits for its turn is moved several times.
                true => engine.in_turn(self.spec.schema, Box::pin(load)).await?,
            };
            Ok(smallvec![payload])
        })
    }

    fn detached(&self, _wanted: &[usize]) -> Option<Box<dyn Loader>> {
        let spec = Box::new(self.spec.clone().into_owned());
        let engine = self.engine.borrow().clone();
        Some(Box::new(LoadOne { engine, spec, table: self.table }))
    }
}

/// Asks the database for rows by their ids, with one statement for all that are wanted.
struct LoadMany<'e, 'a> {
    engine: Cow<'e, Engine>,
    schema: &'static Schema,
    ids: Vec<Args<'a>>,
    table: &'static ShapeTable,
}

impl Loader for LoadMany<'_, '_> {
    fn load<'s>(&'s mut self, wanted: &'s [usize]) -> BoxFuture<'s, Result<Single<Payload>>> {
        Box::pin(async move {
            let ids: Vec<Args<'_>> = wanted.iter().map(|i| self.ids[*i].clone()).collect();
            let max_values = self.engine.database().max_values();
            let mut session = self.engine.database().session();
            let load = Box::pin(load_many(&mut *session, self.schema, &ids, max_values, self.table));
            self.engine.in_turn(self.schema, load).await.map(Single::from_vec)
        })
    }

    fn detached(&self, wanted: &[usize]) -> Option<Box<dyn Loader>> {
        let owned = |i: &usize| self.ids[*i].iter().map(|datum| datum.clone().into_owned()).collect();
        let ids = wanted.iter().map(owned).collect();
        let engine = Cow::Owned(self.engine.clone().into_owned());
        Some(Box::new(LoadMany { engine, schema: self.schema, ids, table: self.table }))
    }
}

/// A read that memory had no answer to, where it belongs: past the cache in a transaction, through it on an engine.
///
/// All that wait have a box of this: what is seldom due is in boxes of its own, so that it is no larger than what glibc keeps at hand
/// for each thread (1,032 bytes).
#[allow(
    clippy::manual_async_fn,
    reason = "an `async fn` has each of its arguments twice, and a query is large"
)]
fn reading<'a>(
    on: Target<'a>,
    spec: Spec<'a>,
    table: &'static ShapeTable,
) -> impl Future<Output = Result<Answer>> + Send + use<'a> {
    async move {
        let answer = match on {
            Target::Tx(tx) => Box::pin(read_in(tx, &spec, table)).await,
            Target::Engine(engine) => engine.read(&spec, table).await,
        };
        answer.map_err(|error| error.with_query(spec.name(table).to_string()))
    }
}

async fn read_in(tx: &Tx, spec: &Spec<'_>, table: &'static ShapeTable) -> Result<Answer> {
    let mut session = tx.session().await?;
    load(Asked::Within(&mut *session), spec, table).await.map(fresh)
}

/// Who is asked for rows.
enum Asked<'a> {
    /// The database, for each statement anew.
    Alone(&'a dyn Database),
    Within(&'a mut (dyn Session + 'a)),
}

impl Asked<'_> {
    fn read<'s>(&'s mut self, plan: &'s ReadPlan) -> BoxFuture<'s, Result<Vec<Row>>> {
        match self {
            Self::Alone(database) => database.read(plan),
            Self::Within(session) => session.read(plan),
        }
    }
}

/// Asks the database.
async fn load(mut asked: Asked<'_>, spec: &Spec<'_>, table: &'static ShapeTable) -> Result<Payload> {
    let (plan, total) = spec.plans(table.fetch, spec.condition());
    let rows = asked.read(&plan).await?;
    let total = match total {
        Some(plan) => crate::query::shape::number(&asked.read(&plan).await?)?,
        None => 0,
    };
    (table.build)(Loaded { rows, total, page: spec.rest().page })
}

impl Engine {
    #[inline]
    fn lookup<'k>(&self, full: &'k [u8]) -> Lookup<'k> {
        Lookup { full, hash: self.chain().stamps.hash(full) }
    }

    /// Everything the chain needs to know of one read.
    fn item(
        &self,
        spec: &Spec<'_>,
        condition: Option<&Condition>,
        table: &'static ShapeTable,
        limits: Limits,
    ) -> Result<Item> {
        let others = || {
            let namespaces = self.namespaces();
            let names = spec.other_names(condition, namespaces.len())?;
            let mut stamps = self.stamps(&names);
            stamps.extend(namespaces);
            Ok(stamps.into_iter().collect())
        };
        let others =
            if spec.row().is_some() && spec.options().tags().is_empty() && spec.rest().family.is_none() {
                // They are the same for every row of the model.
                self.chain().groups.of((spec.schema.group)()).row_names(self.scope(), others)?
            } else {
                Arc::new(others()?)
            };
        let full = spec.memory_key(table, self.inner_scope());
        let (name, fingerprint) = spec.own_name(table, self.scope());
        Ok(Item {
            key: Key::named(self.lookup(&full), name, self.scope().len(), fingerprint),
            others,
            limits,
            codec: &table.codec,
            group: (spec.schema.group)(),
        })
    }

    /// The policy of reads that say nothing of their own.
    #[inline]
    fn plain_policy<'g>(&self, group: &'g Group, spec: &Spec<'_>) -> Option<&'g Effective> {
        group.plain(|| self.policy_said(&Options::default(), &spec.schema.policy))
    }

    /// What the first layer has for a read.
    fn peek(&self, spec: &Spec<'_>, table: &'static ShapeTable) -> Option<Seen> {
        let chain = self.chain();
        let group = chain.groups.of((spec.schema.group)());
        let own;
        let plain = if spec.options().are_plain() { self.plain_policy(group, spec) } else { None };
        let policy = match plain {
            Some(plain) => plain,
            None => {
                own = self.policy_said(spec.options(), &spec.schema.policy);
                &own
            }
        };
        if !policy.enabled || !chain.is_enabled() || spec.options().refresh {
            return None;
        }
        let key = spec.memory_key(table, self.inner_scope());
        chain.peek(self.lookup(&key), &policy.rules, group)
    }

    async fn read(&self, spec: &Spec<'_>, table: &'static ShapeTable) -> Result<Answer> {
        let plain = match spec.options().are_plain() {
            true => self.plain_policy(self.chain().groups.of((spec.schema.group)()), spec),
            false => None,
        };
        // In a box, as few reads have one, and all wait with room for it.
        let own;
        let policy = match plain {
            Some(plain) => plain,
            None => {
                own = Box::new(self.policy_said(spec.options(), &spec.schema.policy));
                &*own
            }
        };
        if !policy.enabled || !self.chain().is_enabled() {
            return Box::pin(load(Asked::Alone(self.database()), spec, table)).await.map(fresh);
        }
        let item = self.item_of(spec, table, policy.rules.limits)?;
        let mut loader = LoadOne { engine: self, spec, table };
        self.chain().get_one(&item, &policy.rules, &mut loader).await.map(got)
    }

    fn item_of(&self, spec: &Spec<'_>, table: &'static ShapeTable, limits: Limits) -> Result<Arc<Item>> {
        // What a row depends on does not follow from a condition.
        let condition = if spec.row().is_some() { None } else { spec.condition() };
        self.item(spec, condition.as_ref(), table, limits).map(Arc::new)
    }

    /// Has a value loaded anew in the background.
    fn renew(&self, spec: Spec<'_>, table: &'static ShapeTable) -> Result<()> {
        let policy = self.policy(spec.options(), spec.schema);
        let item = self.item_of(&spec, table, policy.rules.limits)?;
        let loader = LoadOne { engine: self.clone(), spec: Box::new(spec.into_owned()), table };
        self.chain().refresh_later(item, policy.rules, Box::new(loader));
        Ok(())
    }
}

/// Reads many rows by their ids: one look-up for each, one round trip to each shared layer (to Redis two, where it lacks some), one load for what is missing.
pub(crate) async fn read_many(
    on: Target<'_>,
    schema: &'static Schema,
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
    let policy = engine.policy(&options, schema);
    if !policy.enabled {
        let mut session = engine.database().session();
        let payloads = load_many(&mut *session, schema, &ids, engine.database().max_values(), table).await?;
        return Ok(payloads.into_iter().map(fresh).collect());
    }

    let group = engine.chain().groups.of((schema.group)());
    let mut answers: Vec<Option<Answer>> = Vec::with_capacity(ids.len());
    let mut missing: Vec<usize> = Vec::new();
    let mut items: Vec<Arc<Item>> = Vec::new();
    for (at, id) in ids.iter().enumerate() {
        let mut spec = Spec::new(schema, From::Row(&schema.id), id.clone());
        *spec.options_mut() = options.clone();
        if !options.refresh {
            let key = spec.memory_key(table, engine.inner_scope());
            if let Some(seen) = engine.chain().peek(engine.lookup(&key), &policy.rules, group) {
                if seen.aging {
                    engine.renew(spec, table)?;
                }
                answers.push(Some(Answer::owned(seen)));
                continue;
            }
        }
        answers.push(None);
        missing.push(at);
        items.push(Arc::new(engine.item(&spec, None, table, policy.rules.limits)?));
    }
    if !missing.is_empty() {
        let wanted = missing.iter().map(|at| ids[*at].clone()).collect();
        let mut loader = LoadMany { engine: Cow::Borrowed(engine), schema, ids: wanted, table };
        let all = engine.chain().get(&items, &policy.rules, &mut loader).await?;
        for (at, one) in missing.into_iter().zip(all) {
            answers[at] = Some(got(one));
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
    schema: &'static Schema,
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
