//! Statements in the database's own language, into models and tuples.

use std::fmt;

use super::Target;
use crate::cache::BoxFuture;
use crate::cache::stamps::StampName;
use crate::database::options::{read_uncommitted, says_read_uncommitted};
use crate::database::{RawRows, RawStatement};
use crate::engine::tx::read_only;
use crate::engine::write::in_task;
use crate::engine::{Engine, Tables};
use crate::error::{Error, ErrorKind, Result};
use crate::model::{Datum, Model, RowReader, Schema, Value};
use crate::plan::depends;

/// A raw statement with its values; made by [`Engine::sql`](crate::Engine::sql) and, for MongoDB, by `Engine::command`.
#[must_use = "a statement does nothing until `all`, `first`, `one` or `execute` is awaited"]
pub struct Sql<'a> {
    on: Target<'a>,
    statement: RawStatement,
    /// What it writes to, where the program says so.
    touches: Option<Vec<&'static Schema>>,
}

impl fmt::Debug for Sql<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Sql").field("values", &self.statement.values.len()).finish_non_exhaustive()
    }
}

/// The stamps of everything that is cached of these models, and of those that they touch.
fn everything_of(engine: &Engine, schemas: &[&'static Schema]) -> Vec<StampName> {
    let all =
        schemas.iter().flat_map(|schema| std::iter::once(*schema).chain(schema.touches().iter().copied()));
    all.flat_map(|schema| engine.stamps(&depends::everything(schema))).collect()
}

/// What the rows of a raw statement become: a [`Model`], or a tuple of up to 8 [`Value`]s.
#[diagnostic::on_unimplemented(
    message = "rows of a raw statement do not become `{Self}`",
    label = "expected a model or a tuple",
    note = "a single column is a tuple of one: `(i64,)`"
)]
pub trait FromRaw: Sized + 'static {
    /// The values of all rows.
    ///
    /// # Errors
    /// A column is missing, or holds something its field refuses.
    fn from_raw(rows: RawRows) -> Result<Vec<Self>>;
}

#[diagnostic::do_not_recommend]
impl<M: Model> FromRaw for M {
    fn from_raw(raw: RawRows) -> Result<Vec<Self>> {
        if raw.rows.is_empty() {
            return Ok(Vec::new());
        }
        let places: Vec<usize> = M::SCHEMA
            .columns
            .iter()
            .map(|def| {
                let found = raw.names.iter().position(|name| name == def.name);
                let found = found.or_else(|| id_of_document::<M>(&raw, def.name));
                match found {
                    Some(at) => Ok(at),
                    // What no document has: `NULL`.
                    None if raw.documents && def.nullable => Ok(usize::MAX),
                    None => Err(Error::new(
                        ErrorKind::MissingColumn,
                        "the statement does not give a column of the model",
                    )
                    .with_model(M::SCHEMA.model)
                    .with_column(def.name)),
                }
            })
            .collect::<Result<_>>()?;
        raw.rows
            .into_iter()
            .map(|mut row| {
                let take =
                    |at: &usize| row.get_mut(*at).map_or(Datum::Null, |v| std::mem::replace(v, Datum::Null));
                let values = places.iter().map(take).collect();
                RowReader::new(M::SCHEMA, values).and_then(M::from_row)
            })
            .collect()
    }
}

/// The place of a column of the id in documents, where it has a name of their own.
fn id_of_document<M: Model>(raw: &RawRows, column: &str) -> Option<usize> {
    let schema = M::SCHEMA;
    let is_id = |at: &usize| schema.columns.get(*at).is_some_and(|def| def.name == column);
    if !raw.documents || !schema.id.columns.iter().any(is_id) {
        return None;
    }
    let one = schema.id.columns.len() == 1;
    raw.names.iter().position(|name| match name.strip_prefix("_id") {
        Some("") => one,
        Some(rest) => !one && rest.strip_prefix('.') == Some(column),
        None => false,
    })
}

fn field<T: Value>(names: &[String], row: &mut [Datum<'static>], at: usize) -> Result<T> {
    let datum = row.get_mut(at).map_or(Datum::Null, |value| std::mem::replace(value, Datum::Null));
    T::from_datum(datum).map_err(|error| {
        let kind = match error {
            crate::model::ValueError::Null => ErrorKind::NullValue,
            crate::model::ValueError::Kind(..) => ErrorKind::TypeMismatch,
            crate::model::ValueError::Content(_) => ErrorKind::Decode,
        };
        let name = names.get(at).cloned().unwrap_or_default();
        Error::new(kind, format!("a column of the statement {error}")).with_column(name).with_source(error)
    })
}

macro_rules! tuples {
    ($count:literal: $($name:ident $at:literal),+) => {
        impl<$($name: Value),+> FromRaw for ($($name,)+) {
            fn from_raw(raw: RawRows) -> Result<Vec<Self>> {
                let RawRows { names, rows, .. } = raw;
                if !rows.is_empty() && names.len() != $count {
                    let have = names.len();
                    return Err(Error::new(
                        ErrorKind::MissingColumn,
                        format!("the statement gives {have} columns, and the tuple has {}", $count),
                    ));
                }
                rows.into_iter().map(|mut row| Ok(($(field::<$name>(&names, &mut row, $at)?,)+))).collect()
            }
        }
    };
}

tuples!(1: A 0);
tuples!(2: A 0, B 1);
tuples!(3: A 0, B 1, C 2);
tuples!(4: A 0, B 1, C 2, D 3);
tuples!(5: A 0, B 1, C 2, D 3, E 4);
tuples!(6: A 0, B 1, C 2, D 3, E 4, F 5);
tuples!(7: A 0, B 1, C 2, D 3, E 4, F 5, G 6);
tuples!(8: A 0, B 1, C 2, D 3, E 4, F 5, G 6, H 7);

/// A value for a placeholder of a raw statement.
pub trait Bind {
    /// The neutral form.
    fn into_bound(self) -> Datum<'static>;
}

impl<T: Value> Bind for T {
    fn into_bound(self) -> Datum<'static> {
        self.to_datum().into_owned()
    }
}

impl Bind for &str {
    fn into_bound(self) -> Datum<'static> {
        Datum::Text(self.to_owned().into())
    }
}

/// Whether a statement may change something. Cautious: what is not plainly a read counts as a write.
fn may_write(text: &str) -> bool {
    let mut words = text
        .split(|c: char| !c.is_ascii_alphanumeric() && c != '_')
        .filter(|word| !word.is_empty())
        .map(str::to_ascii_lowercase);
    let reads = matches!(words.next().as_deref(), Some("select" | "values" | "explain" | "with"));
    // `WITH … INSERT`, a second statement behind a semicolon, a comment in front: all of them have one of these words, or
    // do not begin with a word of reading.
    const CHANGES: [&str; 14] = [
        "insert", "update", "delete", "replace", "merge", "create", "drop", "alter", "attach", "detach",
        "pragma", "truncate", "vacuum", "into",
    ];
    !reads || words.any(|word| CHANGES.contains(&word.as_str()))
}

fn changes(statement: &RawStatement) -> bool {
    #[cfg(feature = "mongodb")]
    if let Some(command) = &statement.command {
        return !command.reads();
    }
    may_write(&statement.text)
}

impl<'a> Sql<'a> {
    pub(crate) fn new(on: Target<'a>, text: &str) -> Self {
        Self { on, statement: RawStatement::new(text.into(), Vec::new()), touches: None }
    }

    /// A command of MongoDB's.
    #[cfg(feature = "mongodb")]
    pub(crate) fn command(on: Target<'a>, command: crate::database::Command) -> Self {
        Self { on, statement: RawStatement::command(command), touches: None }
    }

    /// Binds a value to the next placeholder.
    pub fn bind(mut self, value: impl Bind) -> Self {
        self.statement.values.push(value.into_bound());
        self
    }

    /// Says which models the statement writes to, with everything it does to them: what is cached of these, and of the models
    /// that they [touch](derive@crate::Model#touches), ends, in place of everything in the scope. An empty tuple says that it writes to
    /// none.
    ///
    /// # Examples
    ///
    /// ```
    /// # use pie::prelude::*;
    /// # #[derive(Debug, Clone, Model)]
    /// # #[cached]
    /// # struct User { #[pie(id, auto)] id: i64, age: i32 }
    /// # #[derive(Debug, Clone, Model)]
    /// # #[cached]
    /// # struct Order { #[pie(id, auto)] id: i64 }
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() -> pie::Result<()> {
    /// # let engine = Engine::builder().database("sqlite::memory:").build().await?;
    /// # engine.create_tables::<(User, Order)>().await?;
    /// Order::find_by_id(&engine, 1).await?;
    /// engine.sql("UPDATE users SET age = age + 1").touches::<(User,)>().execute().await?;
    /// Order::find_by_id(&engine, 1).await?; // still cached
    /// # assert_eq!(engine.cache().stats().loads, 1);
    /// # Ok(())
    /// # }
    /// ```
    pub fn touches<T: Tables>(mut self) -> Self {
        self.touches.get_or_insert_default().extend(T::schemas());
        self
    }

    async fn run(self) -> Result<RawRows> {
        let engine = self.on.engine();
        engine.check_open()?;
        let statement = self.statement;
        if says_read_uncommitted(&statement.text) {
            return Err(read_uncommitted().with_query("sql"));
        }
        let writes = self.touches.is_some() || changes(&statement);
        let touched: Vec<StampName> = match self.touches {
            Some(schemas) => everything_of(engine, &schemas),
            // Nobody knows what it touches: the namespace of the handle's scope.
            None if writes => engine.namespaces().pop().into_iter().collect(),
            None => Vec::new(),
        };
        let rows = match self.on {
            Target::Tx(tx) if writes && tx.is_read_only() => Err(read_only()),
            Target::Tx(tx) => tx.raw(statement, touched).await,
            Target::Engine(engine) if !writes => engine.database().session().raw(&statement).await,
            Target::Engine(engine) => {
                let (engine, running) = (engine.clone(), engine.chain().tasks.start());
                in_task(async move {
                    let result = engine.database().session().raw(&statement).await;
                    // Also after an error: a statement of several parts may have done some of them.
                    engine.chain().settle(None, &touched).await;
                    drop(running);
                    result
                })
                .await
            }
        };
        rows.map_err(|error| error.with_query("sql"))
    }

    /// All rows.
    ///
    /// # Errors
    /// The database refused, or a column does not fit `T`.
    pub fn all<T: FromRaw>(self) -> BoxFuture<'a, Result<Vec<T>>> {
        Box::pin(async move { T::from_raw(self.run().await?).map_err(|error| error.with_query("sql")) })
    }

    /// The first row, or none.
    ///
    /// # Errors
    /// The database refused, or a column does not fit `T`.
    pub fn first<T: FromRaw>(self) -> BoxFuture<'a, Result<Option<T>>> {
        Box::pin(async move { Ok(self.all().await?.into_iter().next()) })
    }

    /// The only row, or none.
    ///
    /// # Errors
    /// [`ErrorKind::TooManyRows`] for more than one; else as [`all`](Self::all).
    pub fn one<T: FromRaw>(self) -> BoxFuture<'a, Result<Option<T>>> {
        Box::pin(async move {
            let mut rows = self.all().await?.into_iter();
            match (rows.next(), rows.next()) {
                (_, Some(_)) => {
                    Err(Error::new(ErrorKind::TooManyRows, "the statement gave more than one row")
                        .with_query("sql"))
                }
                (row, None) => Ok(row),
            }
        })
    }

    /// Runs the statement; how many rows it changed.
    ///
    /// # Errors
    /// The database refused.
    pub async fn execute(self) -> Result<u64> {
        Ok(self.run().await?.affected)
    }
}

#[cfg(test)]
mod tests {
    use super::may_write;

    #[test]
    fn what_is_not_plainly_a_read_counts_as_a_write() {
        for read in
            ["SELECT 1", " select a from b where c = ?", "WITH a AS (SELECT 1) SELECT * FROM a", "VALUES (1)"]
        {
            assert!(!may_write(read), "{read}");
        }
        for write in [
            "UPDATE a SET b = 1",
            "INSERT INTO a VALUES (1) RETURNING id",
            "WITH a AS (SELECT 1) DELETE FROM b",
            "SELECT 1; DROP TABLE a",
            "PRAGMA user_version = 2",
            "/* SELECT */ REPLACE INTO a VALUES (1)",
            "",
        ] {
            assert!(may_write(write), "{write}");
        }
    }
}
