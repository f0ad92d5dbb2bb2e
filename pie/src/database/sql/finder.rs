//! Statements that find rows by the equality of some columns, as finders do: the text of each is made once.
//!
//! Making one takes sea-query 10,000 instructions, where all of sqlx and SQLite takes 35,000 to answer it.

use std::collections::HashMap;
use std::sync::{Arc, LazyLock, PoisonError, RwLock};

use foldhash::fast::RandomState;
use sea_query::{Value as SeaValue, Values};
use smallvec::SmallVec;
use sqlx::{AssertSqlSafe, SqlSafeStr, SqlStr};

use super::{Dialect, Made, Statement, said};
use crate::error::Result;
use crate::model::{Datum, Schema};
use crate::plan::filter::{Comparison, Condition};
use crate::plan::{Ask, Few, ReadPlan};

/// From how many on no more are kept: programs have fewer finders, but may put filters together as they please.
const MOST: usize = 4_096;

/// What a text follows from: the dialect, the schema by its address, and the columns.
type Shape = (Dialect, usize, SmallVec<[usize; 4]>);

/// The texts of the process.
static TEXTS: LazyLock<RwLock<HashMap<Shape, Arc<str>, RandomState>>> = LazyLock::new(RwLock::default);

/// The columns and values of a plan that is nothing but equalities.
fn equalities(plan: &ReadPlan) -> Option<SmallVec<[(usize, &Datum<'static>); 4]>> {
    let bare = matches!((plan.ask, &plan.order), (Ask::Rows, Few::None))
        && (plan.limit, plan.offset, plan.for_update) == (None, None, false);
    let parts = match plan.filter.as_ref().filter(|_| bare)? {
        Condition::All(parts) => &parts[..],
        one => std::slice::from_ref(one),
    };
    let equality = |part| match part {
        &Condition::Compare(column, Comparison::Eq, ref datum) => Some((column, datum)),
        _ => None,
    };
    parts.iter().map(equality).collect()
}

impl Dialect {
    /// The statement of a plan that is nothing but equalities, if the text of its kind is known; else `make` makes it, and its text is
    /// kept where it can be.
    pub(super) fn found_by(self, plan: &ReadPlan, make: impl FnOnce() -> Result<Made>) -> Result<Statement> {
        let Some(pairs) = equalities(plan) else {
            return make().map(said);
        };
        let schema: &'static Schema = plan.schema;
        let columns = pairs.iter().map(|(column, _)| *column).collect();
        let shape = (self, std::ptr::from_ref(schema).addr(), columns);
        let (known, full) = {
            let texts = TEXTS.read().unwrap_or_else(PoisonError::into_inner);
            (texts.get(&shape).cloned(), texts.len() >= MOST)
        };
        if let Some(text) = known {
            let mut values = Vec::with_capacity(pairs.len() * 2);
            for (column, datum) in pairs {
                self.equality_values(schema, column, datum, &mut values)?;
            }
            return Ok((shared(text), Values(values)));
        }
        let (text, values) = make()?;
        let text: Arc<str> = text.into();
        if !full {
            TEXTS.write().unwrap_or_else(PoisonError::into_inner).insert(shape, Arc::clone(&text));
        }
        Ok((shared(text), values))
    }

    /// What the equality of a column and a value binds, as [`equality`](Self::equality) does.
    fn equality_values(
        self,
        schema: &'static Schema,
        at: usize,
        datum: &Datum<'static>,
        values: &mut Vec<SeaValue>,
    ) -> Result<()> {
        let plain = self.checked(schema, at, datum)?;
        let exact = self.exact(schema, at).map(|exact| match datum {
            Datum::Text(text) | Datum::Json(text) => exact(text),
            _ => plain.clone(),
        });
        if exact.is_none() || self.says_both() {
            values.push(plain);
        }
        values.extend(exact);
        Ok(())
    }
}

fn shared(text: Arc<str>) -> SqlStr {
    AssertSqlSafe(text).into_sql_str()
}

// A dialect says what its driver can hold.
#[cfg(test)]
#[cfg(all(feature = "sqlite", feature = "postgres", feature = "mysql"))]
mod tests {
    use super::*;
    use crate::model::{ColumnDef, Index, Json, Policy};
    use chrono::{DateTime, NaiveDate, NaiveDateTime, NaiveTime, Utc};
    use uuid::Uuid;

    static SCHEMA: Schema = Schema::new(
        "Thing",
        "thing",
        "things",
        &[
            ColumnDef::of::<i64>("id", true),
            ColumnDef::of::<String>("text", false),
            ColumnDef::of::<Option<f64>>("score", false),
            ColumnDef::of::<Json<Vec<i64>>>("json", false),
            ColumnDef::of::<Vec<u8>>("bytes", false),
            ColumnDef::of::<Uuid>("uuid", false),
            ColumnDef::of::<DateTime<Utc>>("at", false),
            ColumnDef::of::<bool>("flag", false),
            ColumnDef::of::<NaiveDate>("day", false),
            ColumnDef::of::<NaiveTime>("time", false),
            ColumnDef::of::<NaiveDateTime>("local", false),
        ],
        Index::new("id", "thing:", &[0]),
        &[],
        &[],
        Policy::OFF,
        0,
        || &crate::cache::groups::MANUAL,
    );

    fn plan(filter: Condition) -> ReadPlan {
        ReadPlan::rows(&SCHEMA, Some(filter))
    }

    fn equal(at: usize, datum: Datum<'static>) -> Condition {
        Condition::Compare(at, Comparison::Eq, datum)
    }

    /// Two values for each column, of the kind that a program binds, and one of another kind.
    fn values(column: usize) -> Vec<Datum<'static>> {
        let at = |seconds| DateTime::from_timestamp(seconds, 0).expect("valid");
        match column {
            0 => vec![Datum::Int(1), Datum::Int(-2), Datum::Text("1".into())],
            1 => vec![Datum::Text("a".into()), Datum::Text("b' OR 1 = 1 --".into()), Datum::Int(3)],
            2 => vec![Datum::Float(0.5), Datum::Int(2), Datum::Text("x".into())],
            3 => vec![Datum::Json("[1]".into()), Datum::Text("[2]".into()), Datum::Int(4)],
            4 => vec![Datum::Bytes(vec![1].into()), Datum::Bytes(vec![].into()), Datum::Text("b".into())],
            5 => vec![Datum::Uuid(Uuid::from_u128(1)), Datum::Uuid(Uuid::from_u128(2)), Datum::Int(5)],
            6 => vec![Datum::Timestamp(at(1)), Datum::Timestamp(at(2)), Datum::Text("t".into())],
            7 => vec![Datum::Bool(true), Datum::Bool(false), Datum::Int(1)],
            8 => vec![Datum::Date(at(1).date_naive()), Datum::Date(at(99_999).date_naive()), Datum::Int(8)],
            9 => vec![Datum::Time(at(1).time()), Datum::Time(at(2).time()), Datum::Int(9)],
            _ => vec![Datum::DateTime(at(1).naive_utc()), Datum::DateTime(at(2).naive_utc()), Datum::Null],
        }
    }

    #[test]
    fn a_known_text_and_its_values_are_those_that_were_made() {
        let dialects = [Dialect::Sqlite, Dialect::Postgres, Dialect::MariaDb, Dialect::MySql];
        let columns = 0..SCHEMA.columns.len();
        for dialect in dialects {
            for first in columns.clone() {
                for second in columns.clone() {
                    for (one, two) in values(first).into_iter().zip(values(second)) {
                        let filter = match first == second {
                            true => equal(first, one),
                            false => Condition::All(vec![equal(first, one), equal(second, two)]),
                        };
                        let plan = plan(filter);
                        let made = dialect.made(&plan).expect("made");
                        for round in 0..2 {
                            let (text, values) = dialect.read(&plan).expect("said");
                            assert_eq!((text.as_str(), &values), (&*made.0, &made.1), "{round}: {plan:?}");
                        }
                        assert!(dialect.found_by(&plan, || unreachable!("it is known")).is_ok());
                    }
                }
            }
        }
    }

    #[test]
    fn what_is_more_than_equalities_is_made() {
        let filter = || equal(0, Datum::Int(1));
        let known = Dialect::Sqlite.read(&plan(filter())).expect("said").0;
        let mut plans = vec![plan(Condition::Compare(0, Comparison::Ne, Datum::Int(1)))];
        plans.push(plan(Condition::Any(vec![filter(), equal(1, Datum::Text("a".into()))])));
        plans.push(plan(Condition::Not(Box::new(filter()))));
        plans.push(ReadPlan { limit: Some(1), ..plan(filter()) });
        plans.push(ReadPlan { limit: Some(1), offset: Some(1), ..plan(filter()) });
        plans.push(ReadPlan { ask: Ask::Count, ..plan(filter()) });
        plans.push(ReadPlan { ask: Ask::Distinct(1), ..plan(filter()) });
        let mut sorted = plan(filter());
        let (column, direction) = (1, crate::plan::Direction::Ascending);
        sorted.order.push(crate::plan::Order { column, direction });
        plans.push(sorted);
        for plan in plans {
            let (text, values) = Dialect::Sqlite.read(&plan).expect("said");
            assert_ne!(text.as_str(), known.as_str());
            let made = Dialect::Sqlite.made(&plan).expect("made");
            assert_eq!((text.as_str(), &values), (&*made.0, &made.1));
        }
        let locked = ReadPlan { for_update: true, ..plan(filter()) };
        let text = Dialect::Postgres.read(&locked).expect("said").0;
        assert!(text.as_str().ends_with("FOR UPDATE"), "{}", text.as_str());
    }

    #[test]
    fn a_value_that_the_database_cannot_hold_is_refused_also_where_the_text_is_known() {
        let plan = |datum| plan(equal(0, datum));
        Dialect::Sqlite.read(&plan(Datum::Int(1))).expect("said");
        let error = Dialect::Sqlite.read(&plan(Datum::UInt(u64::MAX))).expect_err("refused");
        assert_eq!((error.kind(), error.column()), (crate::error::ErrorKind::InvalidValue, Some("id")));
    }
}
