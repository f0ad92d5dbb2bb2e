//! Statement text, made by sea-query: plans in, SQL and bound values out. Nothing of a value is ever part of the text.
//!
//! What the databases say differently is in `dialect`, their tables are in `create`, the texts that are made once in `finder`.

mod create;
mod dialect;
mod finder;

use sea_query::{
    Asterisk, Expr, ExprTrait, Func, Iden, LockType, OnConflict, Order as SeaOrder, Query, SelectStatement,
    Values,
};
use sqlx::{AssertSqlSafe, SqlSafeStr, SqlStr};

use self::dialect::Bytewise;
pub(crate) use self::dialect::Dialect;
use super::Returns;
use crate::error::{Error, ErrorKind, Result};
use crate::model::{ColumnType, Datum, Schema};
use crate::plan::filter::{Comparison, Condition};
use crate::plan::{Ask, Direction, ReadPlan, WritePlan};

/// A statement and its values, in the order of its placeholders.
pub(crate) type Statement = (SqlStr, Values);

/// A statement just made.
type Made = (String, Values);

fn said((text, values): Made) -> Statement {
    (AssertSqlSafe(text).into_sql_str(), values)
}

/// Refuses a statement with more values than the database takes.
fn counted(dialect: Dialect, schema: &'static Schema, statement: Made) -> Result<Made> {
    let most = dialect.max_values();
    if statement.1.0.len() <= most {
        return Ok(statement);
    }
    let what = format!("a query with more values than {} takes ({most})", dialect.name());
    Err(Error::new(ErrorKind::InvalidQuery, what).with_model(schema.model))
}

/// A name of a table or column that is known at compile time.
#[derive(Debug, Clone, Copy)]
struct Name(&'static str);

impl Iden for Name {
    fn quoted(&self) -> std::borrow::Cow<'static, str> {
        std::borrow::Cow::Borrowed(self.0)
    }

    fn unquoted(&self) -> &str {
        self.0
    }
}

/// Makes the text of a statement.
macro_rules! build {
    ($dialect:expr, $statement:expr) => {
        match $dialect {
            Dialect::Sqlite => $statement.build(sea_query::SqliteQueryBuilder),
            Dialect::Postgres => $statement.build(sea_query::PostgresQueryBuilder),
            Dialect::MariaDb | Dialect::MySql => $statement.build(sea_query::MysqlQueryBuilder),
        }
    };
}

fn column(schema: &'static Schema, at: usize) -> Result<Name> {
    match schema.columns.get(at) {
        Some(def) => Ok(Name(def.name)),
        None => {
            Err(Error::new(ErrorKind::InvalidQuery, "a column of another model").with_model(schema.model))
        }
    }
}

/// A column with its table in front. SQLite takes a bare quoted name that is no column for a text, and would compare with
/// it or give it back; with the table in front it is the error it should be.
fn qualified(schema: &'static Schema, at: usize) -> Result<Expr> {
    Ok(Expr::col((Name(schema.table), column(schema, at)?)))
}

/// How deep a condition may nest: SQLite's parser stops at 1,000, and each level here is several of its own.
const MAX_DEPTH: usize = 50;

/// Joins conditions with `AND` or `OR` as a balanced tree: a chain of many would nest deeper than parsers go.
fn balanced(mut parts: Vec<Expr>, all: bool) -> Expr {
    let right = parts.split_off(parts.len() / 2);
    match (parts.is_empty(), right.len()) {
        (true, 1) => right.into_iter().next().unwrap_or_else(|| truth(all)),
        (true, _) => balanced(right, all),
        (false, _) => {
            let (left, right) = (balanced(parts, all), balanced(right, all));
            if all { left.and(right) } else { left.or(right) }
        }
    }
}

fn truth(is: bool) -> Expr {
    Expr::cust(if is { "1 = 1" } else { "1 = 0" })
}

fn columns(schema: &'static Schema) -> impl Iterator<Item = (Name, Name)> {
    schema.columns.iter().map(|def| (Name(schema.table), Name(def.name)))
}

fn returning(schema: &'static Schema) -> sea_query::ReturningClause {
    Query::returning().columns(columns(schema))
}

fn limit(value: u64) -> u64 {
    // The limits of most databases are signed; nothing has more rows than that.
    Ord::min(value, i64::MAX.cast_unsigned())
}

fn add_filter(select: &mut SelectStatement, filter: Option<Expr>) {
    if let Some(filter) = filter {
        select.and_where(filter);
    }
}

fn insert_into(schema: &'static Schema, columns: &[usize]) -> Result<sea_query::InsertStatement> {
    let names: Vec<Name> = columns.iter().map(|at| column(schema, *at)).collect::<Result<_>>()?;
    let mut insert = Query::insert();
    insert.into_table(Name(schema.table)).columns(names);
    Ok(insert)
}

fn shape(schema: &'static Schema) -> Error {
    Error::new(ErrorKind::InvalidQuery, "a row with another number of values than columns")
        .with_model(schema.model)
}

impl Dialect {
    /// `=` or `IN` of a column, byte by byte.
    fn equality(
        self,
        schema: &'static Schema,
        at: usize,
        values: &[Datum<'static>],
        one: bool,
    ) -> Result<Expr> {
        let plain: Vec<Expr> =
            values.iter().map(|datum| self.value(schema, at, datum)).collect::<Result<_>>()?;
        let column = qualified(schema, at)?;
        let said = |column: Expr, mut values: Vec<Expr>| match values.pop() {
            Some(value) if one && values.is_empty() => column.eq(value),
            last => column.is_in(values.into_iter().chain(last)),
        };
        if self == Self::Postgres && schema.columns.get(at).is_some_and(|def| def.ty == ColumnType::Json) {
            // The numbers 1 and 1.0 are equal in `jsonb`, and their texts are not.
            let text = |json: Expr| self.custom("CAST(? AS text)", [json]);
            return Ok(said(text(column), plain.into_iter().map(text).collect()));
        }
        let Some(Bytewise { column: bytes, value }) = self.bytewise(schema, at)? else {
            return Ok(said(column, plain));
        };
        let exact = values.iter().zip(&plain).map(|(datum, plain)| match datum {
            Datum::Text(text) | Datum::Json(text) => Expr::val(value(text)),
            _ => plain.clone(),
        });
        let exact = said(bytes, exact.collect());
        Ok(if self.says_both() { said(column, plain).and(exact) } else { exact })
    }

    fn condition(self, schema: &'static Schema, node: &Condition) -> Result<Expr> {
        Ok(match node {
            Condition::All(parts) | Condition::Any(parts) => {
                let all = matches!(node, Condition::All(_));
                if parts.is_empty() {
                    return Ok(truth(all));
                }
                let parts =
                    parts.iter().map(|part| self.condition(schema, part)).collect::<Result<Vec<_>>>()?;
                balanced(parts, all)
            }
            Condition::Not(inner) => self.condition(schema, inner)?.not(),
            Condition::Compare(at, Comparison::Eq, datum) => {
                self.equality(schema, *at, std::slice::from_ref(datum), true)?
            }
            Condition::Compare(at, comparison, datum) => {
                let (left, right) = match (self.bytewise(schema, *at)?, datum) {
                    (Some(bytes), Datum::Text(text) | Datum::Json(text)) => {
                        // What cannot be held is refused here as well.
                        self.value(schema, *at, datum)?;
                        (bytes.column, Expr::val((bytes.value)(text)))
                    }
                    _ => (qualified(schema, *at)?, self.value(schema, *at, datum)?),
                };
                match comparison {
                    Comparison::Eq => left.eq(right),
                    Comparison::Ne => left.ne(right),
                    Comparison::Gt => left.gt(right),
                    Comparison::Ge => left.gte(right),
                    Comparison::Lt => left.lt(right),
                    Comparison::Le => left.lte(right),
                }
            }
            Condition::In(_, negated, values) if values.is_empty() => truth(*negated),
            Condition::In(at, false, values) => self.equality(schema, *at, values, false)?,
            Condition::In(at, true, values) => self.equality(schema, *at, values, false)?.not(),
            Condition::Null(at, is) => {
                let column = qualified(schema, *at)?;
                if *is { column.is_null() } else { column.is_not_null() }
            }
            Condition::Text(at, kind, text) => self.text_match(schema, *at, *kind, text)?,
        })
    }

    fn filtered(self, schema: &'static Schema, filter: Option<&Condition>) -> Result<Option<Expr>> {
        let Some(filter) = filter else { return Ok(None) };
        if filter.depth() > MAX_DEPTH {
            return Err(Error::new(
                ErrorKind::InvalidQuery,
                format!("a filter nested more than {MAX_DEPTH} levels deep: use `Filter::any` and `Filter::all` over lists"),
            )
            .with_model(schema.model));
        }
        self.condition(schema, filter).map(Some)
    }

    /// The statement of a read.
    pub(crate) fn read(self, plan: &ReadPlan) -> Result<Statement> {
        self.found_by(plan, || self.made(plan))
    }

    /// The same, made anew.
    fn made(self, plan: &ReadPlan) -> Result<Made> {
        let schema = plan.schema;
        let filter = self.filtered(schema, plan.filter.as_ref())?;
        let mut select = Query::select();
        match plan.ask {
            Ask::Rows => {
                select.columns(columns(schema)).from(Name(schema.table));
                for order in &plan.order {
                    let direction = match order.direction {
                        Direction::Ascending => SeaOrder::Asc,
                        Direction::Descending => SeaOrder::Desc,
                    };
                    self.order_by(&mut select, schema, order.column, direction)?;
                }
                self.add_window(&mut select, plan);
                add_filter(&mut select, filter);
                if plan.for_update && self != Self::Sqlite {
                    select.lock(LockType::Update);
                }
            }
            Ask::Distinct(at) => {
                // As bytes, also where the table's own collation takes some texts for equal.
                let column = qualified(schema, at)?;
                let bytes = self.bytewise(schema, at)?.map(|bytes| bytes.column);
                select.from(Name(schema.table));
                match bytes {
                    Some(bytes) if self.is_mysql() => {
                        // The bytes are no text any more: any one of a group of equal ones is.
                        let any = self.custom("MIN(CONVERT(? USING utf8mb4))", [column]);
                        select.expr(any).add_group_by([bytes.clone()]).order_by_expr(bytes, SeaOrder::Asc);
                    }
                    bytes => {
                        let column = bytes.unwrap_or(column);
                        select.distinct().expr(column.clone());
                        if self == Self::Postgres {
                            select.order_by_expr_with_nulls(
                                column,
                                SeaOrder::Asc,
                                sea_query::NullOrdering::First,
                            );
                        } else {
                            select.order_by_expr(column, SeaOrder::Asc);
                        }
                    }
                }
                self.add_window(&mut select, plan);
                add_filter(&mut select, filter);
            }
            Ask::Count => {
                select.expr(Func::count(Expr::col(Asterisk))).from(Name(schema.table));
                add_filter(&mut select, filter);
            }
            Ask::Exists => {
                let mut inner = Query::select();
                inner.expr(Expr::cust("1")).from(Name(schema.table));
                add_filter(&mut inner, filter);
                select.expr(Expr::exists(inner));
            }
        }
        counted(self, schema, build!(self, select))
    }

    fn add_window(self, select: &mut SelectStatement, plan: &ReadPlan) {
        match (plan.limit, plan.offset) {
            (Some(count), _) => {
                select.limit(limit(count));
            }
            // Some databases take an offset only behind a limit.
            (None, Some(_)) if self != Self::Postgres => {
                select.limit(limit(u64::MAX));
            }
            (None, _) => {}
        }
        if let Some(offset) = plan.offset {
            select.offset(limit(offset));
        }
    }

    /// Whether an insert, an update and a delete give their rows back, in the same statement.
    pub(crate) fn returns(self) -> Returns {
        match self {
            Self::Sqlite | Self::Postgres => Returns::ALL,
            Self::MariaDb => Returns { update: false, ..Returns::ALL },
            Self::MySql => Returns { insert: false, update: false, delete: false, old: false },
        }
    }

    /// The statement of a write, and whether it gives rows back.
    ///
    /// An upsert is one statement only where a database can name the constraint.
    pub(crate) fn write(self, plan: &WritePlan) -> Result<(Statement, bool)> {
        let returns = self.returns();
        let (statement, rows) = match plan {
            WritePlan::Insert { schema, columns, rows } => {
                let mut insert = insert_into(schema, columns)?;
                for row in rows {
                    insert.values(self.row_values(schema, columns, row)?).map_err(|_| shape(schema))?;
                }
                if columns.is_empty() {
                    insert.or_default_values();
                }
                if !self.is_mysql() {
                    insert.returning(returning(schema));
                }
                (self.with_rows(build!(self, insert), schema, returns.insert), returns.insert)
            }
            WritePlan::Upsert { schema, columns, row, on, update } => {
                let mut insert = insert_into(schema, columns)?;
                insert.values(self.row_values(schema, columns, row)?).map_err(|_| shape(schema))?;
                let target: Vec<Name> =
                    on.columns.iter().map(|at| column(schema, *at)).collect::<Result<_>>()?;
                let set: Vec<Name> = columns
                    .iter()
                    .filter(|at| !on.columns.contains(at))
                    .map(|at| column(schema, *at))
                    .collect::<Result<_>>()?;
                let mut conflict = OnConflict::columns(target.iter().copied());
                if *update {
                    // With nothing else to set, setting the key to itself makes RETURNING give the row.
                    conflict.update_columns(if set.is_empty() { target } else { set });
                } else {
                    conflict.do_nothing();
                }
                insert.on_conflict(conflict);
                insert.returning(returning(schema));
                (build!(self, insert), true)
            }
            WritePlan::Update { schema, filter, set, returning: wanted } => {
                let mut update = Query::update();
                update.table(Name(schema.table));
                for (at, datum) in set {
                    update.value(column(schema, *at)?, self.value(schema, *at, datum)?);
                }
                if let Some(filter) = self.filtered(schema, filter.as_ref())? {
                    update.and_where(filter);
                }
                let wanted = *wanted && returns.update;
                if wanted {
                    update.returning(returning(schema));
                }
                (build!(self, update), wanted)
            }
            WritePlan::Delete { schema, filter, returning: wanted } => {
                let mut delete = Query::delete();
                delete.from_table(Name(schema.table));
                if let Some(filter) = self.filtered(schema, filter.as_ref())? {
                    delete.and_where(filter);
                }
                let wanted = *wanted && returns.delete;
                if wanted && !self.is_mysql() {
                    delete.returning(returning(schema));
                }
                (self.with_rows(build!(self, delete), schema, wanted), wanted)
            }
        };
        Ok((said(counted(self, plan.schema(), statement)?), rows))
    }

    /// The row of a key, by the equality of its constraint, and locked; for databases that do not return it.
    #[cfg(feature = "mysql")]
    pub(crate) fn read_back(
        self,
        schema: &'static Schema,
        key: impl Iterator<Item = (usize, Datum<'static>)>,
    ) -> Result<Statement> {
        let mut select = Query::select();
        select.columns(columns(schema)).from(Name(schema.table)).lock(LockType::Update);
        for (at, value) in key {
            select.and_where(qualified(schema, at)?.eq(self.value(schema, at, &value)?));
        }
        Ok(said(build!(self, select)))
    }

    /// Sets columns of the row of a key, by the equality of its constraint.
    #[cfg(feature = "mysql")]
    pub(crate) fn update_key(
        self,
        schema: &'static Schema,
        key: impl Iterator<Item = (usize, Datum<'static>)>,
        set: impl Iterator<Item = (usize, Datum<'static>)>,
    ) -> Result<Statement> {
        let mut update = Query::update();
        update.table(Name(schema.table));
        for (at, value) in set {
            update.value(column(schema, at)?, self.value(schema, at, &value)?);
        }
        for (at, value) in key {
            update.and_where(qualified(schema, at)?.eq(self.value(schema, at, &value)?));
        }
        Ok(said(build!(self, update)))
    }

    /// MariaDB's `RETURNING`, which sea-query does not write.
    fn with_rows(self, (mut text, values): Made, schema: &'static Schema, wanted: bool) -> Made {
        if wanted && self.is_mysql() {
            let quoted = schema.columns.iter().map(|def| format!("`{}`", def.name.replace('`', "``")));
            text.push_str(" RETURNING ");
            text.push_str(&quoted.collect::<Vec<_>>().join(", "));
        }
        (text, values)
    }

    fn row_values(
        self,
        schema: &'static Schema,
        columns: &[usize],
        row: &[Datum<'static>],
    ) -> Result<Vec<Expr>> {
        columns.iter().zip(row).map(|(at, datum)| self.value(schema, *at, datum)).collect()
    }
}

/// The statements of a savepoint, the same in all SQL databases.
pub(crate) fn savepoint(savepoint: super::Savepoint) -> Vec<String> {
    use super::Savepoint::{Release, Set, Undo};
    match savepoint {
        Set(depth) => vec![format!("SAVEPOINT pie_{depth}")],
        Release(depth) => vec![format!("RELEASE SAVEPOINT pie_{depth}")],
        // Rolling back leaves it open: what comes after would be undone with it.
        Undo(depth) => {
            vec![format!("ROLLBACK TO SAVEPOINT pie_{depth}"), format!("RELEASE SAVEPOINT pie_{depth}")]
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::{ColumnDef, Index, Policy};
    use crate::plan::Order;
    use crate::plan::filter::TextMatch;

    static SCHEMA: Schema = Schema::new(
        "User",
        "user",
        "users",
        &[
            ColumnDef::of::<i64>("id", true),
            ColumnDef::of::<String>("email", false),
            ColumnDef::of::<Option<f64>>("score", false),
        ],
        Index::new("id", "user:", &[0]),
        &[Index::new("email", "user:email:", &[1])],
        &[Index::new("score", "users:score:", &[2])],
        Policy::OFF,
        0,
        || &crate::cache::groups::MANUAL,
    );

    #[test]
    fn a_read_binds_every_value_and_quotes_every_name() {
        let filter = Condition::All(vec![
            Condition::Compare(1, Comparison::Eq, Datum::Text("'; DROP TABLE users; --".into())),
            Condition::In(0, false, vec![Datum::Int(1), Datum::Int(2)]),
            Condition::Text(1, TextMatch::Like, "a%".into()),
        ]);
        let mut plan = ReadPlan::rows(&SCHEMA, Some(filter));
        plan.order.push(Order { column: 0, direction: Direction::Descending });
        plan.offset = Some(3);
        let (text, values) = Dialect::Sqlite.read(&plan).expect("builds");
        assert_eq!(
            text.as_str(),
            r#"SELECT "users"."id", "users"."email", "users"."score" FROM "users" WHERE ("users"."email" COLLATE BINARY) = ? AND ("users"."id" IN (?, ?) AND "users"."email" LIKE ? ESCAPE '\') ORDER BY "users"."id" DESC LIMIT ? OFFSET ?"#
        );
        assert_eq!(values.0.len(), 6);
    }

    #[test]
    fn values_that_sqlite_cannot_hold_are_named_by_column() {
        for datum in [Datum::UInt(u64::MAX), Datum::Float(f64::NAN)] {
            let plan = ReadPlan::rows(&SCHEMA, Some(Condition::Compare(2, Comparison::Eq, datum)));
            let error = Dialect::Sqlite.read(&plan).expect_err("refused");
            assert_eq!((error.kind(), error.column()), (ErrorKind::InvalidValue, Some("score")));
        }
    }

    #[test]
    fn an_upsert_updates_everything_but_its_key() {
        let plan = WritePlan::Upsert {
            schema: &SCHEMA,
            columns: &[1, 2],
            row: vec![Datum::Text("a".into()), Datum::Null],
            on: &SCHEMA.uniques[0],
            update: true,
        };
        let ((text, _), rows) = Dialect::Sqlite.write(&plan).expect("builds");
        assert!(rows);
        assert_eq!(
            text.as_str(),
            r#"INSERT INTO "users" ("email", "score") VALUES (?, ?) ON CONFLICT ("email") DO UPDATE SET "score" = "excluded"."score" RETURNING "users"."id", "users"."email", "users"."score""#
        );
    }

    #[test]
    fn a_table_has_its_key_constraints_and_indexes() {
        assert_eq!(
            Dialect::Sqlite.create(&SCHEMA),
            [
                r#"CREATE TABLE IF NOT EXISTS "users" ( "id" INTEGER NOT NULL PRIMARY KEY AUTOINCREMENT, "email" TEXT NOT NULL, "score" REAL )"#,
                r#"CREATE UNIQUE INDEX IF NOT EXISTS "users_email_unique" ON "users" ("email")"#,
                r#"CREATE INDEX IF NOT EXISTS "users_score_index" ON "users" ("score")"#,
            ]
        );
    }

    #[test]
    fn a_filter_nested_too_deep_is_refused() {
        let mut filter = Condition::Null(0, true);
        for _ in 0..1_000 {
            filter = Condition::Not(Box::new(filter));
        }
        let error = Dialect::Sqlite.read(&ReadPlan::rows(&SCHEMA, Some(filter))).expect_err("refused");
        assert_eq!(error.kind(), ErrorKind::InvalidQuery);
    }
}
