//! Random questions of any model, how they are asked, and their answers.

use std::fmt::Write as _;

use fastrand::Rng;

use super::random::{COLUMNS, Kind, Randomly, by_kind};
use crate::__private as api;
use crate::codec::put_datum;
use crate::error::Result;
use crate::model::{Column, Datum, Index, Model, Schema, Value};
use crate::plan::filter::{Comparison, Condition, Filter, TextMatch};
use crate::plan::{Direction, OrderBy};
use crate::query::raw::Bind;
use crate::query::{Cached, Handle, Query, Rows};

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
pub(super) struct Raw(pub(super) Datum<'static>);

impl Bind for Raw {
    fn into_bound(self) -> Datum<'static> {
        self.0
    }
}

pub(super) fn of<'a, M: Model>(on: &'a impl Handle, condition: &Condition) -> Query<'a, M, Rows> {
    api::query::<M>(on).filter(Filter::from(condition.clone()))
}
