//! `query.explain()` and `User::explain()`: what is cached under which key, and which writes end it.

use std::fmt;
use std::time::Duration;

use super::Target;
use super::read::Query;
use super::shape::Shape;
use crate::error::Result;
use crate::model::{Index, Model, Schema};
use crate::plan::depends;

/// What one read is cached under, and what ends it.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Explanation {
    /// The model.
    pub model: &'static str,
    /// The query, as it is called in errors: `find_by_email`.
    pub query: String,
    /// Why the cache is not asked; `None` when it is.
    pub uncached: Option<&'static str>,
    /// The logical key: what `engine.cache().delete(..)` takes.
    pub key: String,
    /// How long a value is served.
    pub ttl: Duration,
    /// What the value depends on.
    pub depends: Vec<Dependency>,
}

/// Something that ends what depends on it.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Dependency {
    /// Its name: `i:users.status=active`.
    pub stamp: String,
    /// What ends it.
    pub ended_by: EndedBy,
}

/// Which writes and invalidations end a [`Dependency`].
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum EndedBy {
    /// Any write of the row with this key, also an insert where there was none; and an invalidation of the key.
    Row {
        /// The columns in the key.
        columns: Vec<&'static str>,
    },
    /// Only an invalidation of the key by hand.
    Key,
    /// A write of a row that has, or had, these values.
    Values {
        /// The table.
        table: &'static str,
        /// The columns of the index.
        columns: Vec<&'static str>,
    },
    /// Any write of a row of the table.
    Table {
        /// The table.
        table: &'static str,
    },
    /// A write of more than 1,000 rows or of unknown ones, `Engine::invalidate_all`, and a pattern that names the family.
    Family {
        /// The first part of its keys.
        family: String,
    },
    /// An invalidation of the tag.
    Tag {
        /// The tag.
        tag: String,
    },
    /// `Cache::clear`, and raw SQL that may write and does not say what it touches.
    Everything,
}

fn and(columns: &[&str]) -> String {
    columns.join(" and ")
}

impl fmt::Display for EndedBy {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Row { columns } => {
                write!(f, "any write of the row with this {}, before or after it", and(columns))
            }
            Self::Key => f.write_str("`cache().delete(key)`"),
            Self::Values { table, columns } => {
                write!(f, "a write of a row of `{table}` that has, or had, this {}", and(columns))
            }
            Self::Table { table } => write!(f, "any write of a row of `{table}`"),
            Self::Family { family } => write!(
                f,
                "a write of more than 1,000 rows or of unknown ones, `invalidate_all`, `cache().delete_by_pattern(\"{family}:*\")`"
            ),
            Self::Tag { tag } => write!(f, "`cache().delete_by_tags([\"{tag}\"])`"),
            Self::Everything => f.write_str("`cache().clear()`, raw SQL that may write, without `touches`"),
        }
    }
}

impl fmt::Display for Explanation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "{}::{}", self.model, self.query)?;
        match self.uncached {
            Some(why) => writeln!(f, "  not cached: {why}")?,
            None => {
                writeln!(f, "  cached under `{}` for {}", self.key, humantime::format_duration(self.ttl))?
            }
        }
        let widest = self.depends.iter().map(|on| on.stamp.chars().count()).max().unwrap_or(0);
        for Dependency { stamp, ended_by } in &self.depends {
            writeln!(f, "  {stamp:widest$}  ended by {ended_by}")?;
        }
        Ok(())
    }
}

fn names(schema: &'static Schema, index: &Index) -> Vec<&'static str> {
    index.columns.iter().filter_map(|at| schema.columns.get(*at)).map(|def| def.name).collect()
}

/// What a stamp's name says.
fn ended_by(schema: &'static Schema, stamp: &str, row: Option<&'static Index>) -> EndedBy {
    let Some((kind, rest)) = stamp.split_once(':') else { return EndedBy::Everything };
    match (kind, row) {
        ("k", Some(index)) => EndedBy::Row { columns: names(schema, index) },
        ("k", None) => EndedBy::Key,
        ("w", _) => EndedBy::Table { table: schema.table },
        ("f", _) => EndedBy::Family { family: rest.to_owned() },
        ("t", _) => EndedBy::Tag { tag: rest.to_owned() },
        ("i", _) => {
            // `users.org+status=…`: the index is the one with these columns.
            let of = |index: &&Index| {
                rest.starts_with(&format!("{}.{}=", schema.table, names(schema, index).join("+")))
            };
            let columns =
                schema.indexes.iter().find(of).map(|index| names(schema, index)).unwrap_or_default();
            EndedBy::Values { table: schema.table, columns }
        }
        _ => EndedBy::Everything,
    }
}

impl<M: Model, S: Shape<M>> Query<'_, M, S> {
    /// What the read is cached under, and which writes end it, without running it.
    ///
    /// # Errors
    /// [`ErrorKind::InvalidQuery`](crate::ErrorKind::InvalidQuery) for a query that could not be cached either.
    ///
    /// # Examples
    ///
    /// ```
    /// # use pie::prelude::*;
    /// # #[derive(Debug, Clone, Model)]
    /// # #[cached(ttl = "5m")]
    /// # struct User { #[pie(id, auto)] id: i64, #[pie(index)] status: String }
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() -> pie::Result<()> {
    /// # let engine = Engine::builder().database("sqlite::memory:").build().await?;
    /// let explanation = User::list_by_status(&engine, "active").limit(20).explain()?;
    /// assert!(explanation.depends.iter().any(|on| on.stamp == "i:users.status=active"));
    /// println!("{explanation}");
    /// # assert!(explanation.to_string().contains("a write of a row of `users` that has, or had, this status"));
    /// # Ok(())
    /// # }
    /// ```
    pub fn explain(&self) -> Result<Explanation> {
        let (engine, schema, table) = (self.on.engine(), M::SCHEMA, S::TABLE);
        let policy = engine.policy(self.spec.options(), schema);
        let key = self.spec.key(table, engine.inner_scope()).logical().into_owned();
        let mut stamps = vec![format!("k:{key}")];
        stamps.extend(self.spec.other_names(self.spec.condition().as_ref(), engine.namespaces().len())?);
        stamps.push("n".to_owned());
        let row = self.spec.row();
        let depends =
            stamps.into_iter().map(|stamp| Dependency { ended_by: ended_by(schema, &stamp, row), stamp });
        Ok(Explanation {
            model: schema.model,
            query: self.spec.name(table).to_string(),
            uncached: match self.on {
                Target::Tx(_) => Some("reads in a transaction go past the cache"),
                Target::Engine(_) if !engine.cache().is_enabled() => Some("the cache is switched off"),
                Target::Engine(_) if !policy.enabled => {
                    Some("the model has no `#[cached]`, or the query says `no_cache`")
                }
                Target::Engine(_) => None,
            },
            key,
            ttl: policy.rules.ttl,
            depends: depends.collect(),
        })
    }
}

/// What a model's reads depend on, and what its writes end.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct ModelExplanation {
    /// The model.
    pub model: &'static str,
    /// The table.
    pub table: &'static str,
    /// The generated reads, each with what it depends on; values stand as `…`.
    pub reads: Vec<ExplainedRead>,
    /// What any write of a row ends, of its old and its new values.
    pub write_ends: Vec<String>,
    /// Other models that a write ends as a whole: `#[pie(touches(..))]`.
    pub touches: Vec<&'static str>,
    /// Whether writes end nothing: `#[pie(invalidate = "manual")]`.
    pub manual: bool,
}

/// A generated read of a model.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct ExplainedRead {
    /// The function.
    pub function: String,
    /// How its keys begin.
    pub key: String,
    /// What it depends on, besides its family, its tags and the namespace.
    pub depends: Vec<String>,
}

impl fmt::Display for ModelExplanation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "{} (table `{}`)", self.model, self.table)?;
        let widest = self.reads.iter().map(|read| read.function.chars().count()).max().unwrap_or(0);
        for ExplainedRead { function, key, depends } in &self.reads {
            writeln!(f, "  {function:widest$}  cached under `{key}`, depends on {}", depends.join(", "))?;
        }
        if self.manual {
            writeln!(f, "  a write ends nothing: the program does")?;
        } else {
            writeln!(f, "  a write of a row ends {}", self.write_ends.join(", "))?;
        }
        for touched in &self.touches {
            writeln!(f, "  and everything of `{touched}`")?;
        }
        Ok(())
    }
}

/// The explanation of a model.
#[must_use]
pub fn explain_model(schema: &'static Schema) -> ModelExplanation {
    let mut reads = Vec::new();
    let mut ends = Vec::new();
    for (at, index) in std::iter::once(&schema.id).chain(schema.uniques).enumerate() {
        let stamp = format!("k:{}…", index.prefix);
        let function = format!("find_by_{}", index.name);
        if at == 0 {
            reads.push(ExplainedRead {
                function: "find_by_ids".to_owned(),
                key: format!("{}…", index.prefix),
                depends: vec![stamp.clone()],
            });
        }
        reads.push(ExplainedRead {
            function,
            key: format!("{}…", index.prefix),
            depends: vec![stamp.clone()],
        });
        ends.push(stamp);
    }
    for index in schema.indexes {
        let stamp = format!("i:{}.{}=…", schema.table, names(schema, index).join("+"));
        reads.push(ExplainedRead {
            function: format!("list_by_{}", index.name),
            key: format!("{}…", index.prefix),
            depends: vec![stamp.clone()],
        });
        ends.push(stamp);
    }
    let table = depends::table_name(schema);
    reads.push(ExplainedRead {
        function: "query".to_owned(),
        key: format!("{}:…", schema.table),
        depends: vec![format!("{table} (or an index that its filter pins)")],
    });
    ends.push(table);
    ModelExplanation {
        model: schema.model,
        table: schema.table,
        reads,
        write_ends: ends,
        touches: schema.touches().iter().map(|touched| touched.model).collect(),
        manual: schema.manual,
    }
}
