//! Random questions and random writes of any model, and how they are asked and done.

use std::fmt::Write as _;

use fastrand::Rng;

use super::random::{COLUMNS, Kind, RandomId, Randomly, by_kind};
use crate::codec::put_datum;
use crate::engine::Engine;
use crate::error::{Error, Result};
use crate::model::{Column, Datum, Index, Model, NewRow, Schema, Value};
use crate::plan::filter::{Comparison, Condition, Filter, TextMatch};
use crate::plan::{Direction, OrderBy, WritePlan};
use crate::query::raw::Bind;
use crate::query::{Cached, Delete, Handle, Query, Rows, Update};
use crate::{__private as api, ErrorKind, Tx};

pub(super) type Values = Vec<Datum<'static>>;

/// What a question asks of some rows.
#[derive(Debug, Clone, Copy)]
pub(super) enum Shape {
    Rows,
    First,
    Count,
    Exists,
    Page,
    Distinct(usize),
}

#[derive(Debug, Clone)]
pub(super) enum Question {
    ById(Values),
    ByIds(Vec<Values>),
    ByUnique(usize, Values),
    List(usize, Values, Shape),
    Filter(Condition, Shape),
}

#[derive(Debug, Clone, PartialEq)]
pub(super) enum Answer {
    Row(Option<Values>),
    Rows(Vec<Option<Values>>),
    Number(u64),
    Truth(bool),
    Page(Vec<Option<Values>>, u64),
    Column(Values),
}

/// Values and all, which `Debug` of a value does not show.
pub(super) fn show(values: &[Datum<'_>]) -> String {
    let mut out = String::new();
    for datum in values {
        let mut bytes = Vec::new();
        put_datum(&mut bytes, datum);
        let _ = write!(out, "{}, ", bytes.escape_ascii());
    }
    out
}

impl Answer {
    pub(super) fn show(&self) -> String {
        let row = |row: &Option<Values>| row.as_ref().map_or_else(|| "none".to_owned(), |row| show(row));
        match self {
            Self::Row(one) => row(one),
            Self::Rows(rows) => rows.iter().map(row).collect::<Vec<_>>().join("; "),
            Self::Page(rows, total) => {
                format!("{} of {total}", rows.iter().map(row).collect::<Vec<_>>().join("; "))
            }
            Self::Number(number) => number.to_string(),
            Self::Truth(truth) => truth.to_string(),
            Self::Column(values) => show(values),
        }
    }
}

pub(super) fn values_of<M: Randomly>(columns: &[usize], rng: &mut Rng) -> Values {
    let value = |at: &usize| {
        // Ids that the database counts up grow; those to come are asked for as well.
        if M::SCHEMA.columns[*at].auto && rng.bool() {
            return Datum::Int(rng.i64(0..30));
        }
        M::kind(*at).value(rng)
    };
    columns.iter().map(value).collect()
}

fn shape(rng: &mut Rng) -> Shape {
    match rng.u8(..8) {
        0..=2 => Shape::Rows,
        3 => Shape::First,
        4 => Shape::Count,
        5 => Shape::Exists,
        6 => Shape::Page,
        _ => Shape::Distinct(rng.usize(..COLUMNS)),
    }
}

fn is_text(kind: Kind) -> bool {
    matches!(kind, Kind::Text | Kind::MaybeText)
}

pub(super) fn condition<M: Randomly>(rng: &mut Rng, depth: u32) -> Condition {
    let at = rng.usize(..COLUMNS);
    let kind = M::kind(at);
    match rng.u8(..if depth > 0 { 11 } else { 8 }) {
        0..=3 => Condition::Compare(at, Comparison::Eq, kind.value(rng)),
        4 => {
            let comparison = [Comparison::Ne, Comparison::Gt, Comparison::Ge, Comparison::Lt, Comparison::Le]
                [rng.usize(..5)];
            Condition::Compare(at, comparison, kind.value(rng))
        }
        5 => {
            let count = rng.usize(..4);
            let values = (0..count).map(|_| kind.value(rng)).collect();
            Condition::In(at, rng.u8(..4) == 0, values)
        }
        6 => Condition::Null(at, rng.bool()),
        7 if is_text(kind) => {
            let how = [TextMatch::StartsWith, TextMatch::EndsWith, TextMatch::Contains][rng.usize(..3)];
            Condition::Text(at, how, ["a", "", " ", "A"][rng.usize(..4)].into())
        }
        7 => Condition::Compare(at, Comparison::Le, kind.value(rng)),
        8 => Condition::Not(Box::new(condition::<M>(rng, depth - 1))),
        other => {
            let count = rng.usize(1..4);
            let parts = (0..count).map(|_| condition::<M>(rng, depth - 1)).collect();
            if other == 9 { Condition::All(parts) } else { Condition::Any(parts) }
        }
    }
}

/// Equality with each column of an index, of one of them perhaps with several values.
fn pinned<M: Randomly>(index: &Index, rng: &mut Rng) -> Condition {
    let several = rng.usize(..index.columns.len() + 1);
    let parts = index.columns.iter().enumerate().map(|(place, at)| {
        let kind = M::kind(*at);
        if place == several {
            Condition::In(*at, false, (0..rng.usize(1..6)).map(|_| kind.value(rng)).collect())
        } else {
            Condition::Compare(*at, Comparison::Eq, kind.value(rng))
        }
    });
    Condition::All(parts.collect())
}

impl Question {
    pub(super) fn draw<M: Randomly>(rng: &mut Rng) -> Self {
        let schema: &Schema = M::SCHEMA;
        let id = |rng: &mut Rng| values_of::<M>(schema.id.columns, rng);
        match rng.u8(..20) {
            0..=5 => Self::ById(id(rng)),
            6 => Self::ByIds((0..rng.usize(1..5)).map(|_| id(rng)).collect()),
            7..=10 if !schema.uniques.is_empty() => {
                let at = rng.usize(..schema.uniques.len());
                Self::ByUnique(at, values_of::<M>(schema.uniques[at].columns, rng))
            }
            11..=16 if !schema.indexes.is_empty() => {
                let at = rng.usize(..schema.indexes.len());
                Self::List(at, values_of::<M>(schema.indexes[at].columns, rng), shape(rng))
            }
            17 | 18 if !schema.indexes.is_empty() => {
                let index = &schema.indexes[rng.usize(..schema.indexes.len())];
                let mut whole = pinned::<M>(index, rng);
                if rng.bool() {
                    whole = Condition::All(vec![condition::<M>(rng, 1), whole]);
                }
                Self::Filter(whole, shape(rng))
            }
            19 => Self::Filter(condition::<M>(rng, 2), shape(rng)),
            _ => Self::ById(id(rng)),
        }
    }

    pub(super) fn show(&self) -> String {
        match self {
            Self::ById(id) => format!("by id {}", show(id)),
            Self::ByIds(ids) => {
                format!("by ids {}", ids.iter().map(|id| show(id)).collect::<Vec<_>>().join("; "))
            }
            Self::ByUnique(at, values) => format!("by unique {at}: {}", show(values)),
            Self::List(at, values, shape) => format!("by index {at}: {} {shape:?}", show(values)),
            Self::Filter(condition, shape) => format!("{} {shape:?}", show_condition(condition)),
        }
    }

    /// Whether it can only be answered from the cache as a whole or not at all.
    pub(super) fn is_one_entry(&self) -> bool {
        !matches!(self, Self::ByIds(_))
    }

    pub(super) async fn ask<M: Randomly>(&self, on: &impl Handle, cached: bool) -> Result<Answer> {
        let of_row = |row: Option<Cached<M>>| row.map(|row| row.values().to_vec());
        let (uniques, indexes) = (M::SCHEMA.uniques, M::SCHEMA.indexes);
        Ok(match self {
            Self::ById(id) => {
                let query = api::find::<M>(on, &M::SCHEMA.id, id.iter().cloned().collect());
                Answer::Row(of_row(query.enabled(cached).await?))
            }
            Self::ByIds(ids) => {
                let ids = ids.iter().map(|id| id.iter().cloned().collect());
                let query = api::find_many::<M>(on, ids);
                let query = if cached { query } else { query.no_cache() };
                Answer::Rows(query.await?.into_iter().map(of_row).collect())
            }
            Self::ByUnique(at, values) => {
                let query = api::find::<M>(on, &uniques[*at], values.iter().cloned().collect());
                Answer::Row(of_row(query.enabled(cached).await?))
            }
            Self::List(at, values, shape) => {
                let query = api::list::<M>(on, &indexes[*at], values.iter().cloned().collect());
                shaped::<M>(query.enabled(cached), *shape).await?
            }
            Self::Filter(condition, shape) => {
                shaped::<M>(of::<M>(on, condition).enabled(cached), *shape).await?
            }
        })
    }
}

impl<'a, M: Model, S> Query<'a, M, S> {
    fn enabled(self, cached: bool) -> Self {
        if cached { self } else { self.no_cache() }
    }
}

pub(super) fn show_condition(condition: &Condition) -> String {
    match condition {
        Condition::All(parts) | Condition::Any(parts) => {
            let word = if matches!(condition, Condition::All(_)) { "all" } else { "any" };
            format!("{word}({})", parts.iter().map(show_condition).collect::<Vec<_>>().join(", "))
        }
        Condition::Not(inner) => format!("not({})", show_condition(inner)),
        Condition::Compare(at, how, value) => {
            format!("{at} {how:?} {}", show(std::slice::from_ref(value)))
        }
        Condition::In(at, negated, values) => format!("{at} in {negated} [{}]", show(values)),
        Condition::Null(at, is) => format!("{at} null {is}"),
        Condition::Text(at, how, text) => format!("{at} {how:?} {text:?}"),
    }
}

async fn shaped<M: Randomly>(query: Query<'_, M, Rows>, shape: Shape) -> Result<Answer> {
    // By the id, so that there is one right answer.
    let mut ordered = query;
    for at in M::SCHEMA.id.columns {
        ordered = ordered.order_by(OrderBy::new(*at, Direction::Ascending));
    }
    let values = |row: &M| Some(row.values().to_vec());
    Ok(match shape {
        Shape::Rows => Answer::Rows(ordered.await?.iter().map(values).collect()),
        Shape::First => Answer::Row(ordered.first().await?.map(|row| row.values().to_vec())),
        Shape::Count => Answer::Number(ordered.count().await?),
        Shape::Exists => Answer::Truth(ordered.exists().await?),
        Shape::Page => {
            let page = ordered.page(2, 2).await?;
            Answer::Page(page.rows.iter().map(values).collect(), page.total)
        }
        Shape::Distinct(at) => by_kind!(M::kind(at), T => {
            let all = ordered.distinct(Column::<M, T>::new(at, "")).await?;
            Answer::Column(all.iter().map(|value| value.to_datum().into_owned()).collect())
        }),
    })
}

/// A value to bind as it is.
struct Raw(Datum<'static>);

impl Bind for Raw {
    fn into_bound(self) -> Datum<'static> {
        self.0
    }
}

fn of<'a, M: Model>(on: &'a impl Handle, condition: &Condition) -> Query<'a, M, Rows> {
    api::query::<M>(on).filter(Filter::from(condition.clone()))
}

type Set = Vec<(usize, Datum<'static>)>;

#[derive(Debug, Clone)]
pub(super) enum Write {
    Insert(Vec<Values>),
    /// On the id, or on a unique constraint.
    Upsert(Option<usize>, Values),
    Update(Values, Set),
    UpdateWhere(Condition, Set),
    Delete(Values),
    DeleteWhere(Condition),
    /// By a statement of the program's own, which says what it touches, or does not.
    Sql(usize, Datum<'static>, bool),
}

impl Write {
    pub(super) fn draw<M: Randomly>(rng: &mut Rng) -> Self {
        let given = <M::New as NewRow>::COLUMNS;
        let schema = M::SCHEMA;
        let set = |rng: &mut Rng| -> Set {
            let mut set = Set::new();
            for _ in 0..rng.usize(1..3) {
                // The id as well, now and then.
                let at = if rng.u8(..8) == 0 { 0 } else { rng.usize(1..COLUMNS) };
                if set.iter().all(|(other, _)| *other != at) {
                    set.push((at, M::kind(at).value(rng)));
                }
            }
            set
        };
        let id = |rng: &mut Rng| values_of::<M>(schema.id.columns, rng);
        match rng.u8(..32) {
            0..=8 => Self::Insert(vec![values_of::<M>(given, rng)]),
            9 | 10 => Self::Insert((0..rng.usize(1..4)).map(|_| values_of::<M>(given, rng)).collect()),
            11..=15 => {
                let mut places: Vec<Option<usize>> = (0..schema.uniques.len()).map(Some).collect();
                // The columns of a constraint that is the target have to be given. (SQLite finds no constraint with its own row number in
                // it; beside the id alone no other column is needed to be unique.)
                let with_id = |columns: &[usize]| schema.id.columns == [0] && columns.contains(&0);
                places.retain(|at| {
                    let columns = at.map_or(schema.id.columns, |at| schema.uniques[at].columns);
                    columns.iter().all(|column| given.contains(column)) && !with_id(columns)
                });
                if given.contains(&0) {
                    places.push(None);
                }
                match places.len() {
                    0 => Self::Insert(vec![values_of::<M>(given, rng)]),
                    count => Self::Upsert(places[rng.usize(..count)], values_of::<M>(given, rng)),
                }
            }
            16..=22 => Self::Update(id(rng), set(rng)),
            23..=25 => Self::UpdateWhere(condition::<M>(rng, 1), set(rng)),
            26..=29 => Self::Delete(id(rng)),
            30 => Self::DeleteWhere(condition::<M>(rng, 1)),
            _ => {
                let at = rng.usize(..COLUMNS);
                Self::Sql(at, M::kind(at).value(rng), rng.u8(..4) > 0)
            }
        }
    }

    pub(super) fn show(&self) -> String {
        let set = |set: &Set| {
            set.iter()
                .map(|(at, value)| format!("{at} := {}", show(std::slice::from_ref(value))))
                .collect::<String>()
        };
        match self {
            Self::Insert(rows) => {
                format!("insert {}", rows.iter().map(|row| show(row)).collect::<Vec<_>>().join("; "))
            }
            Self::Upsert(on, row) => format!("upsert on {on:?}: {}", show(row)),
            Self::Update(id, to) => format!("update {}: {}", show(id), set(to)),
            Self::UpdateWhere(condition, to) => {
                format!("update where {}: {}", show_condition(condition), set(to))
            }
            Self::Delete(id) => format!("delete {}", show(id)),
            Self::DeleteWhere(condition) => format!("delete where {}", show_condition(condition)),
            Self::Sql(at, value, says) => {
                format!("sql delete {at} = {} {says}", show(std::slice::from_ref(value)))
            }
        }
    }

    /// Does it; a constraint that refuses it is a right answer.
    async fn run<M: Randomly>(&self, on: &impl Handle) -> Result<()> {
        match self.attempt::<M>(on).await {
            Err(error) if error.is_unique_violation() => Ok(()),
            // MongoDB changes no id.
            Err(error) if error.kind() == ErrorKind::Unsupported => Ok(()),
            other => other,
        }
    }

    /// The same in a savepoint, which is undone if a constraint refuses it.
    async fn run_in_part<M: Randomly>(&self, tx: &Tx) -> Result<()> {
        let part = tx.savepoint().await?;
        match self.attempt::<M>(&part).await {
            Ok(()) => part.commit().await,
            Err(error) if error.is_unique_violation() => part.rollback().await,
            Err(error) => Err(error),
        }
    }

    async fn attempt<M: Randomly>(&self, on: &impl Handle) -> Result<()> {
        let schema = M::SCHEMA;
        match self {
            Self::Insert(rows) if rows.len() == 1 => {
                api::insert::<M>(on, M::new(rows[0].clone())).await.map(drop)
            }
            Self::Insert(rows) => api::insert_many::<M>(on, rows.iter().cloned().map(M::new)).await.map(drop),
            Self::Upsert(at, row) => {
                let index: &'static Index = at.map_or(&schema.id, |at| &schema.uniques[at]);
                api::upsert::<M>(on, index, M::new(row.clone())).await.map(drop)
            }
            Self::Update(id, set) => {
                let mut update = api::update::<M>(on, id.iter().cloned().collect());
                for (at, value) in set {
                    update = update.set(*at, value.clone());
                }
                update.await.map(drop)
            }
            Self::UpdateWhere(condition, set) => {
                let mut update: Update<'_, M> = of::<M>(on, condition).update();
                for (at, value) in set {
                    let value = value.clone();
                    update = by_kind!(M::kind(*at), T => {
                        let value = T::from_datum(value).map_err(|error| schema.error(*at, error))?;
                        update.set(Column::<M, T>::new(*at, ""), value)
                    });
                }
                update.await.map(drop)
            }
            Self::Delete(id) => api::delete::<M>(on, id.iter().cloned().collect()).await.map(drop),
            Self::DeleteWhere(condition) => {
                let delete: Delete<'_, M> = of::<M>(on, condition).delete();
                delete.await.map(drop)
            }
            Self::Sql(at, value, says) => {
                #[cfg(feature = "mongodb")]
                if on.target().engine().database().name() == "MongoDB" {
                    let equal = Condition::Compare(*at, Comparison::Eq, value.clone()).normal();
                    let command = crate::database::mongo::delete_command(schema, &equal)?;
                    let command = match on.target() {
                        crate::query::Target::Tx(tx) => tx.command(command),
                        crate::query::Target::Engine(engine) => engine.command(command),
                    };
                    let command = if *says { command.touches::<(M,)>() } else { command };
                    return command.execute().await.map(drop);
                }
                let name = schema.columns[*at].name;
                let text = match on.target().engine().database().name() {
                    "PostgreSQL" => format!("DELETE FROM rows WHERE \"{name}\" IS NOT DISTINCT FROM $1"),
                    "MariaDB" => format!("DELETE FROM `rows` WHERE `{name}` <=> ?"),
                    _ => format!("DELETE FROM rows WHERE \"{name}\" IS ?"),
                };
                let sql = match on.target() {
                    crate::query::Target::Tx(tx) => tx.sql(&text),
                    crate::query::Target::Engine(engine) => engine.sql(&text),
                };
                let sql = sql.bind(Raw(value.clone()));
                let sql = if *says { sql.touches::<(M,)>() } else { sql };
                sql.execute().await.map(drop)
            }
        }
    }

    /// The same past pie, as another program would; then the ids that it wrote, if they are known.
    pub(super) async fn run_elsewhere<M: Randomly>(&self, engine: &Engine) -> Result<Option<Vec<RandomId>>> {
        let schema = M::SCHEMA;
        let plan = match self {
            Self::Insert(rows) => {
                WritePlan::Insert { schema, columns: <M::New as NewRow>::COLUMNS, rows: rows.clone() }
            }
            Self::Update(_, set) | Self::UpdateWhere(_, set) => {
                let set: Set =
                    set.iter().filter(|(at, _)| !schema.id.columns.contains(at)).cloned().collect();
                if set.is_empty() {
                    return Ok(Some(Vec::new()));
                }
                WritePlan::Update { schema, filter: self.filter::<M>(), set, returning: true }
            }
            Self::Delete(_) | Self::DeleteWhere(_) => {
                WritePlan::Delete { schema, filter: self.filter::<M>(), returning: true }
            }
            Self::Upsert(..) | Self::Sql(..) => return Ok(Some(Vec::new())),
        };
        let rows = match engine.database().session().write(&plan).await {
            Ok(written) => written.rows,
            // Some rows may have been written before the one that is refused.
            Err(error) if error.is_unique_violation() => {
                return Ok(engine.database().is_atomic().then(Vec::new));
            }
            Err(error) => return Err(error),
        };
        let id = |row: Values| -> Result<RandomId> {
            let value = |at: &usize| {
                (schema.columns[*at].canonical)(row[*at].clone())
                    .map_err(|_| Error::new(ErrorKind::Decode, "an id that cannot be read"))
            };
            schema.id.columns.iter().map(value).collect::<Result<_>>().map(RandomId)
        };
        rows.into_iter().map(id).collect::<Result<_>>().map(Some)
    }

    fn filter<M: Model>(&self) -> Option<Condition> {
        let of_id = |id: &Values| {
            let columns = M::SCHEMA.id.columns.iter();
            Condition::All(
                columns
                    .zip(id)
                    .map(|(at, value)| Condition::Compare(*at, Comparison::Eq, value.clone()))
                    .collect(),
            )
            .normal()
        };
        match self {
            Self::Update(id, _) | Self::Delete(id) => Some(of_id(id)),
            Self::UpdateWhere(condition, _) | Self::DeleteWhere(condition) => {
                Some(condition.clone().normal())
            }
            _ => None,
        }
    }
}

/// How a transaction or a savepoint ends.
#[derive(Debug, Clone, Copy)]
pub(super) enum End {
    Commit,
    Rollback,
    Drop,
}

impl End {
    fn draw(rng: &mut Rng) -> Self {
        [Self::Commit, Self::Commit, Self::Rollback, Self::Drop][rng.usize(..4)]
    }

    async fn of(self, tx: Tx) -> Result<()> {
        match self {
            Self::Commit => tx.commit().await,
            Self::Rollback => tx.rollback().await,
            Self::Drop => {
                drop(tx);
                Ok(())
            }
        }
    }
}

/// A part of a transaction: writes, or a savepoint with some.
#[derive(Debug, Clone)]
pub(super) enum Part {
    Write(Write),
    Read(Question),
    Savepoint(Vec<Write>, End),
}

/// Rows that a read under lock does not see.
#[derive(Debug, Clone, Copy)]
pub(super) enum Unseen {
    FirstRow,
    AllRows,
}

#[derive(Debug, Clone)]
pub(super) enum Step {
    Write(Write),
    /// A write that does not see some rows when it reads the old ones, as if those had been committed just then.
    Unseen(Write, Unseen),
    Transaction(Vec<Part>, End),
    /// Past pie, which is told afterwards: of the ids, or of all.
    Elsewhere(Write, bool),
}

impl Step {
    pub(super) fn draw<M: Randomly>(rng: &mut Rng) -> Self {
        match rng.u8(..16) {
            0..=9 => Self::Write(Write::draw::<M>(rng)),
            10 => Self::Unseen(Write::draw::<M>(rng), Unseen::FirstRow),
            11 => Self::Unseen(Write::draw::<M>(rng), Unseen::AllRows),
            12..=14 => {
                let part = |rng: &mut Rng| match rng.u8(..6) {
                    0 => Part::Read(Question::draw::<M>(rng)),
                    1 | 2 => {
                        let writes = (0..rng.usize(..3)).map(|_| Write::draw::<M>(rng)).collect();
                        Part::Savepoint(writes, End::draw(rng))
                    }
                    _ => Part::Write(Write::draw::<M>(rng)),
                };
                let parts = (0..rng.usize(1..4)).map(|_| part(rng)).collect();
                Self::Transaction(parts, End::draw(rng))
            }
            _ => Self::Elsewhere(Write::draw::<M>(rng), rng.bool()),
        }
    }

    pub(super) fn show(&self) -> String {
        match self {
            Self::Write(write) => write.show(),
            Self::Unseen(write, unseen) => format!("{}, not seeing {unseen:?}", write.show()),
            Self::Elsewhere(write, ids) => format!("elsewhere {}, told of ids: {ids}", write.show()),
            Self::Transaction(parts, end) => {
                let part = |part: &Part| match part {
                    Part::Write(write) => write.show(),
                    Part::Read(question) => format!("read {}", question.show()),
                    Part::Savepoint(writes, end) => {
                        let writes = writes.iter().map(Write::show).collect::<Vec<_>>().join(" + ");
                        format!("savepoint ({writes}) {end:?}")
                    }
                };
                format!("transaction [{}] {end:?}", parts.iter().map(part).collect::<Vec<_>>().join(" + "))
            }
        }
    }

    pub(super) async fn run<M: Randomly>(
        &self,
        engine: &Engine,
        hide: impl Fn(Option<Unseen>),
    ) -> Result<()> {
        match self {
            Self::Write(write) => write.run::<M>(engine).await,
            Self::Unseen(write, unseen) => {
                hide(Some(*unseen));
                let done = write.run::<M>(engine).await;
                hide(None);
                done
            }
            Self::Transaction(parts, _) if !engine.has_transactions() => {
                for part in parts {
                    match part {
                        Part::Write(write) => write.run::<M>(engine).await?,
                        Part::Read(question) => drop(question.ask::<M>(engine, true).await?),
                        Part::Savepoint(writes, _) => {
                            for write in writes {
                                write.run::<M>(engine).await?;
                            }
                        }
                    }
                }
                Ok(())
            }
            Self::Transaction(parts, end) if engine.database().name() == "MongoDB" => {
                // There what is refused ends the transaction, and there are no savepoints.
                let tx = engine.begin().await?;
                let writes = parts.iter().flat_map(|part| match part {
                    Part::Write(write) => std::slice::from_ref(write),
                    Part::Savepoint(writes, _) => writes,
                    Part::Read(_) => &[],
                });
                for write in writes {
                    match write.attempt::<M>(&tx).await {
                        Err(error) if error.is_unique_violation() => return tx.rollback().await,
                        Err(error) if error.kind() != ErrorKind::Unsupported => return Err(error),
                        _ => {}
                    }
                }
                match end {
                    // The server of these tests keeps nothing apart, and would show what is not undone yet.
                    End::Drop => tx.rollback().await,
                    end => end.of(tx).await,
                }
            }
            Self::Transaction(parts, end) => {
                let tx = engine.begin().await?;
                for part in parts {
                    match part {
                        Part::Write(write) if engine.database().name() == "PostgreSQL" => {
                            // There what is refused ends the transaction, if it is not in a savepoint.
                            write.run_in_part::<M>(&tx).await?;
                        }
                        Part::Write(write) => write.run::<M>(&tx).await?,
                        Part::Read(question) => drop(question.ask::<M>(&tx, true).await?),
                        Part::Savepoint(writes, end) => {
                            let part = tx.savepoint().await?;
                            for write in writes {
                                if engine.database().name() == "PostgreSQL" {
                                    write.run_in_part::<M>(&part).await?;
                                } else {
                                    write.run::<M>(&part).await?;
                                }
                            }
                            end.of(part).await?;
                        }
                    }
                }
                end.of(tx).await
            }
            Self::Elsewhere(write, by_ids) => {
                let ids = write.run_elsewhere::<M>(engine).await?;
                // Not every database tells which rows an update changed.
                match ids {
                    Some(ids) if *by_ids && engine.database().returns().update => {
                        engine.invalidate::<M>(ids).await
                    }
                    _ => engine.invalidate_all::<M>().await,
                }
            }
        }
    }
}
