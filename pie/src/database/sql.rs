//! Statement text, made by sea-query: plans in, SQL and bound values out. Nothing of a value is ever part of the text.

use sea_query::{
    Asterisk, ColumnDef as SeaColumn, Expr, ExprTrait, Func, Iden, IntoIden, LikeExpr, OnConflict,
    Order as SeaOrder, Query, SelectStatement, SqliteQueryBuilder, Table, Value as SeaValue, Values,
};

use crate::error::{Error, ErrorKind, Result};
use crate::model::{ColumnType, Datum, Schema};
use crate::plan::filter::{Comparison, Condition, TextMatch};
use crate::plan::{Ask, Direction, ReadPlan, WritePlan};

/// A statement and its values, in the order of its placeholders.
pub(crate) type Statement = (String, Values);

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

/// The value in the form SQLite stores it.
pub(crate) fn bound(datum: &Datum<'_>) -> Result<SeaValue, &'static str> {
    const TIME: &str = "%H:%M:%S%.6f";
    const DATE_TIME: &str = "%Y-%m-%dT%H:%M:%S%.6f";
    let four_digits =
        |year: i32| if (0..=9999).contains(&year) { Ok(()) } else { Err("a year outside 0 to 9999") };
    Ok(match datum {
        Datum::Null => SeaValue::String(None),
        Datum::Bool(v) => SeaValue::BigInt(Some(i64::from(*v))),
        Datum::Int(v) => SeaValue::BigInt(Some(*v)),
        Datum::UInt(_) => return Err("an integer above i64::MAX"),
        Datum::Float(v) if v.is_nan() => return Err("NaN, which SQLite would store as NULL"),
        Datum::Float(v) => SeaValue::Double(Some(*v)),
        Datum::Text(v) | Datum::Json(v) => SeaValue::String(Some(v.clone().into_owned())),
        Datum::Bytes(v) => SeaValue::Bytes(Some(v.clone().into_owned())),
        Datum::Uuid(v) => SeaValue::Bytes(Some(v.as_bytes().to_vec())),
        Datum::Date(v) => {
            four_digits(chrono::Datelike::year(v))?;
            SeaValue::String(Some(v.format("%Y-%m-%d").to_string()))
        }
        Datum::Time(v) => SeaValue::String(Some(v.format(TIME).to_string())),
        // Of one length, so that text order is time order and equal times are equal text.
        Datum::DateTime(v) => {
            four_digits(chrono::Datelike::year(v))?;
            SeaValue::String(Some(v.format(DATE_TIME).to_string()))
        }
        Datum::Timestamp(v) => {
            four_digits(chrono::Datelike::year(v))?;
            SeaValue::String(Some(format!("{}+00:00", v.format(DATE_TIME))))
        }
    })
}

fn value(schema: &'static Schema, at: usize, datum: &Datum<'_>) -> Result<Expr> {
    bound(datum).map(Expr::val).map_err(|what| {
        let name = schema.columns.get(at).map_or("?", |def| def.name);
        Error::new(ErrorKind::InvalidValue, format!("SQLite cannot hold {what}"))
            .with_model(schema.model)
            .with_column(name)
    })
}

/// The column as text is compared: byte by byte, whatever collation the table was made with. An index with the usual
/// collation serves such a comparison as before.
fn compared(schema: &'static Schema, at: usize) -> Result<Expr> {
    let column = qualified(schema, at)?;
    let is_text = schema.columns.get(at).is_some_and(|def| def.ty == ColumnType::Text);
    Ok(if is_text { Expr::cust_with_exprs("? COLLATE BINARY", [column]) } else { column })
}

fn text_match(schema: &'static Schema, at: usize, kind: TextMatch, text: &str) -> Result<Expr> {
    let column = qualified(schema, at)?;
    if kind == TextMatch::Like {
        return Ok(column.like(LikeExpr::new(text).escape('\\')));
    }
    if kind == TextMatch::Regex {
        return Ok(Expr::cust_with_exprs("? REGEXP ?", [column, Expr::val(text)]));
    }
    if text.is_empty() {
        return Ok(column.is_not_null());
    }
    // As bytes: no character is a pattern, none ends the text, and a character begins where its first byte does.
    let bytes = || Expr::val(SeaValue::Bytes(Some(text.as_bytes().to_vec())));
    let length = i64::try_from(text.len()).unwrap_or(i64::MAX);
    let (template, values) = match kind {
        TextMatch::StartsWith => (
            "(? COLLATE BINARY >= ? AND substr(CAST(? AS BLOB), 1, ?) = ?)",
            vec![column.clone(), Expr::val(text), column.clone(), Expr::val(length), bytes()],
        ),
        // The length first: `substr` and `instr` of empty bytes are NULL, which would be neither a match nor none.
        TextMatch::EndsWith => (
            "(length(CAST(? AS BLOB)) >= ? AND substr(CAST(? AS BLOB), ?) = ?)",
            vec![column.clone(), Expr::val(length), column.clone(), Expr::val(-length), bytes()],
        ),
        TextMatch::Contains | TextMatch::Like | TextMatch::Regex => (
            "(length(CAST(? AS BLOB)) >= ? AND instr(CAST(? AS BLOB), ?) > 0)",
            vec![column.clone(), Expr::val(length), column.clone(), bytes()],
        ),
    };
    Ok(Expr::cust_with_exprs(template, values))
}

fn condition(schema: &'static Schema, node: &Condition) -> Result<Expr> {
    Ok(match node {
        Condition::All(parts) | Condition::Any(parts) => {
            let all = matches!(node, Condition::All(_));
            if parts.is_empty() {
                return Ok(truth(all));
            }
            let parts = parts.iter().map(|part| condition(schema, part)).collect::<Result<Vec<_>>>()?;
            balanced(parts, all)
        }
        Condition::Not(inner) => condition(schema, inner)?.not(),
        Condition::Compare(at, comparison, datum) => {
            let (left, right) = (compared(schema, *at)?, value(schema, *at, datum)?);
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
        Condition::In(at, negated, values) => {
            let values: Vec<Expr> =
                values.iter().map(|datum| value(schema, *at, datum)).collect::<Result<_>>()?;
            let left = compared(schema, *at)?;
            if *negated { left.is_not_in(values) } else { left.is_in(values) }
        }
        Condition::Null(at, is) => {
            let column = qualified(schema, *at)?;
            if *is { column.is_null() } else { column.is_not_null() }
        }
        Condition::Text(at, kind, text) => text_match(schema, *at, *kind, text)?,
    })
}

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

fn filtered(schema: &'static Schema, filter: Option<&Condition>) -> Result<Option<Expr>> {
    let Some(filter) = filter else { return Ok(None) };
    if filter.depth() > MAX_DEPTH {
        return Err(Error::new(
            ErrorKind::InvalidQuery,
            format!("a filter nested more than {MAX_DEPTH} levels deep: use `Filter::any` and `Filter::all` over lists"),
        )
        .with_model(schema.model));
    }
    condition(schema, filter).map(Some)
}

fn columns(schema: &'static Schema) -> impl Iterator<Item = (Name, Name)> {
    schema.columns.iter().map(|def| (Name(schema.table), Name(def.name)))
}

fn returning(schema: &'static Schema) -> sea_query::ReturningClause {
    Query::returning().columns(columns(schema))
}

fn limit(value: u64) -> u64 {
    // SQLite's limits are signed; nothing has more rows than that.
    Ord::min(value, i64::MAX.cast_unsigned())
}

/// The statement of a read.
pub(crate) fn read(plan: &ReadPlan) -> Result<Statement> {
    let schema = plan.schema;
    let filter = filtered(schema, plan.filter.as_ref())?;
    let mut select = Query::select();
    match plan.ask {
        Ask::Rows => {
            select.columns(columns(schema)).from(Name(schema.table));
            for order in &plan.order {
                let direction = match order.direction {
                    Direction::Ascending => SeaOrder::Asc,
                    Direction::Descending => SeaOrder::Desc,
                };
                select.order_by((Name(schema.table), column(schema, order.column)?), direction);
            }
            add_window(&mut select, plan);
            add_filter(&mut select, filter);
        }
        Ask::Distinct(at) => {
            // As bytes, also where the table's own collation takes some texts for equal.
            let column = compared(schema, at)?;
            select
                .distinct()
                .expr(column.clone())
                .from(Name(schema.table))
                .order_by_expr(column, SeaOrder::Asc);
            add_window(&mut select, plan);
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
    Ok(select.build(SqliteQueryBuilder))
}

fn add_window(select: &mut SelectStatement, plan: &ReadPlan) {
    match (plan.limit, plan.offset) {
        (Some(count), _) => {
            select.limit(limit(count));
        }
        // SQLite takes an offset only behind a limit.
        (None, Some(_)) => {
            select.limit(limit(u64::MAX));
        }
        (None, None) => {}
    }
    if let Some(offset) = plan.offset {
        select.offset(limit(offset));
    }
}

fn add_filter(select: &mut SelectStatement, filter: Option<Expr>) {
    if let Some(filter) = filter {
        select.and_where(filter);
    }
}

/// The statement of a write, and whether it gives rows back.
pub(crate) fn write(plan: &WritePlan) -> Result<(Statement, bool)> {
    Ok(match plan {
        WritePlan::Insert { schema, columns, rows } => {
            let mut insert = insert_into(schema, columns)?;
            for row in rows {
                insert.values(row_values(schema, columns, row)?).map_err(|_| shape(schema))?;
            }
            if columns.is_empty() {
                insert.or_default_values();
            }
            insert.returning(returning(schema));
            (insert.build(SqliteQueryBuilder), true)
        }
        WritePlan::Upsert { schema, columns, row, on, update } => {
            let mut insert = insert_into(schema, columns)?;
            insert.values(row_values(schema, columns, row)?).map_err(|_| shape(schema))?;
            let target: Vec<Name> = on.columns.iter().map(|at| column(schema, *at)).collect::<Result<_>>()?;
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
            (insert.build(SqliteQueryBuilder), true)
        }
        WritePlan::Update { schema, filter, set, returning: wanted } => {
            let mut update = Query::update();
            update.table(Name(schema.table));
            for (at, datum) in set {
                update.value(column(schema, *at)?, value(schema, *at, datum)?);
            }
            if let Some(filter) = filtered(schema, filter.as_ref())? {
                update.and_where(filter);
            }
            if *wanted {
                update.returning(returning(schema));
            }
            (update.build(SqliteQueryBuilder), *wanted)
        }
        WritePlan::Delete { schema, filter, returning: wanted } => {
            let mut delete = Query::delete();
            delete.from_table(Name(schema.table));
            if let Some(filter) = filtered(schema, filter.as_ref())? {
                delete.and_where(filter);
            }
            if *wanted {
                delete.returning(returning(schema));
            }
            (delete.build(SqliteQueryBuilder), *wanted)
        }
    })
}

fn insert_into(schema: &'static Schema, columns: &[usize]) -> Result<sea_query::InsertStatement> {
    let names: Vec<Name> = columns.iter().map(|at| column(schema, *at)).collect::<Result<_>>()?;
    let mut insert = Query::insert();
    insert.into_table(Name(schema.table)).columns(names);
    Ok(insert)
}

fn row_values(schema: &'static Schema, columns: &[usize], row: &[Datum<'static>]) -> Result<Vec<Expr>> {
    columns.iter().zip(row).map(|(at, datum)| value(schema, *at, datum)).collect()
}

fn shape(schema: &'static Schema) -> Error {
    Error::new(ErrorKind::InvalidQuery, "a row with another number of values than columns")
        .with_model(schema.model)
}

/// The statements that create a table, its unique constraints and its indexes.
pub(crate) fn create(schema: &'static Schema) -> Vec<String> {
    let mut table = Table::create();
    table.table(Name(schema.table)).if_not_exists();
    let auto = schema.id.columns.iter().any(|at| schema.columns.get(*at).is_some_and(|def| def.auto));
    for def in schema.columns {
        let mut column = SeaColumn::new(Name(def.name));
        match def.ty {
            ColumnType::Bool => column.custom(Name("BOOLEAN").into_iden()),
            ColumnType::Int16 | ColumnType::Int32 | ColumnType::Int64 | ColumnType::UInt64 => {
                column.custom(Name("INTEGER").into_iden())
            }
            ColumnType::Float32 | ColumnType::Float64 => column.custom(Name("REAL").into_iden()),
            ColumnType::Bytes | ColumnType::Uuid => column.custom(Name("BLOB").into_iden()),
            ColumnType::Text
            | ColumnType::Date
            | ColumnType::Time
            | ColumnType::DateTime
            | ColumnType::Timestamp
            | ColumnType::Json => column.custom(Name("TEXT").into_iden()),
        };
        if !def.nullable {
            column.not_null();
        }
        if def.auto {
            column.primary_key().auto_increment();
        }
        table.col(&mut column);
    }
    if !auto {
        let mut key = sea_query::Index::create();
        schema.id.columns.iter().filter_map(|at| schema.columns.get(*at)).for_each(|def| {
            key.col(Name(def.name));
        });
        table.primary_key(&mut key);
    }
    let mut statements = vec![table.build(SqliteQueryBuilder)];
    for (unique, index) in schema
        .uniques
        .iter()
        .map(|index| (true, index))
        .chain(schema.indexes.iter().map(|index| (false, index)))
    {
        let mut create = sea_query::Index::create();
        let kind = if unique { "unique" } else { "index" };
        create
            .name(format!("{}_{}_{kind}", schema.table, index.name))
            .table(Name(schema.table))
            .if_not_exists();
        if unique {
            create.unique();
        }
        index.columns.iter().filter_map(|at| schema.columns.get(*at)).for_each(|def| {
            create.col(Name(def.name));
        });
        statements.push(create.build(SqliteQueryBuilder));
    }
    statements
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
        let (text, values) = read(&plan).expect("builds");
        assert_eq!(
            text,
            r#"SELECT "users"."id", "users"."email", "users"."score" FROM "users" WHERE ("users"."email" COLLATE BINARY) = ? AND ("users"."id" IN (?, ?) AND "users"."email" LIKE ? ESCAPE '\') ORDER BY "users"."id" DESC LIMIT ? OFFSET ?"#
        );
        assert_eq!(values.0.len(), 6);
    }

    #[test]
    fn values_that_sqlite_cannot_hold_are_named_by_column() {
        for datum in [Datum::UInt(u64::MAX), Datum::Float(f64::NAN)] {
            let plan = ReadPlan::rows(&SCHEMA, Some(Condition::Compare(2, Comparison::Eq, datum)));
            let error = read(&plan).expect_err("refused");
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
        let ((text, _), rows) = write(&plan).expect("builds");
        assert!(rows);
        assert_eq!(
            text,
            r#"INSERT INTO "users" ("email", "score") VALUES (?, ?) ON CONFLICT ("email") DO UPDATE SET "score" = "excluded"."score" RETURNING "users"."id", "users"."email", "users"."score""#
        );
    }

    #[test]
    fn a_table_has_its_key_constraints_and_indexes() {
        assert_eq!(
            create(&SCHEMA),
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
        let error = read(&ReadPlan::rows(&SCHEMA, Some(filter))).expect_err("refused");
        assert_eq!(error.kind(), ErrorKind::InvalidQuery);
    }
}
