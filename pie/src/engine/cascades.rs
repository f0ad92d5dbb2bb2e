//! What a database changes by itself, and no model says: foreign keys with an action, and triggers.

use std::collections::BTreeSet;
use std::fmt;

use super::{Engine, Tables};
use crate::cache::BoxFuture;
use crate::database::Cascade;
use crate::error::Result;
use crate::model::Schema;

/// A change that the database makes by itself when a model is written, and that its `#[pie(touches(..))]` does not name: what is
/// cached of the other table is not ended.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct UndeclaredCascade {
    /// The model that is written.
    pub model: &'static str,
    /// The table that changes; `None` for a trigger, of which nobody knows what it changes.
    pub table: Option<String>,
    /// What does it: `ON DELETE CASCADE`, or the name of a trigger.
    pub by: String,
}

impl fmt::Display for UndeclaredCascade {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { model, table, by } = self;
        match table {
            Some(table) => write!(
                f,
                "writes of `{model}` change table `{table}` ({by}), and `{model}` does not say so: write \
                 `#[pie(touches(…))]` with the model of `{table}` on it, or what is cached of `{table}` goes stale"
            ),
            None => write!(
                f,
                "writes of `{model}` run {by}, and `{model}` says of no other model that it changes: write \
                 `#[pie(touches(…))]` with what the trigger writes to on it, or what is cached of that goes stale"
            ),
        }
    }
}

/// The tables that change with a table, directly or by way of others, and by what.
fn reached<'c>(table: &'c str, all: &'c [Cascade]) -> Vec<&'c Cascade> {
    let (mut seen, mut open, mut found) = (BTreeSet::from([table]), vec![table], Vec::new());
    while let Some(from) = open.pop() {
        for cascade in all.iter().filter(|cascade| cascade.from == from) {
            found.push(cascade);
            if let Some(to) = cascade.to.as_deref()
                && seen.insert(to)
            {
                open.push(to);
            }
        }
    }
    found
}

fn undeclared(schema: &'static Schema, all: &[Cascade]) -> Vec<UndeclaredCascade> {
    let declared: Vec<&str> = schema.touches().iter().map(|touched| touched.table).collect();
    let missing = |cascade: &&Cascade| match cascade.to.as_deref() {
        Some(to) => to != schema.table && !declared.contains(&to),
        None => declared.is_empty(),
    };
    let mut found: Vec<UndeclaredCascade> = Vec::new();
    for cascade in reached(schema.table, all).into_iter().filter(missing) {
        let known = |known: &UndeclaredCascade| cascade.to.is_some() && known.table == cascade.to;
        if !found.iter().any(known) {
            let Cascade { to, by, .. } = cascade.clone();
            found.push(UndeclaredCascade { model: schema.model, table: to, by });
        }
    }
    found
}

impl Engine {
    /// What the database changes by itself when these models are written, and their `#[pie(touches(..))]` does not name.
    ///
    /// [`EngineBuilder::models`](crate::EngineBuilder::models) and [`create_tables`](Self::create_tables) ask this, and warn of each. Asks the
    /// database for its foreign keys and triggers; these statements are not [counted](Self::statements).
    ///
    /// # Errors
    /// The database refused.
    ///
    /// # Examples
    ///
    /// ```
    /// # use pie::prelude::*;
    /// #[derive(Debug, Clone, Model)]
    /// struct User {
    ///     #[pie(id)]
    ///     id: i64,
    /// }
    ///
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() -> pie::Result<()> {
    /// let engine = Engine::builder().database("sqlite::memory:").build().await?;
    /// engine.create_tables::<(User,)>().await?;
    /// let orders = "CREATE TABLE orders (id INTEGER PRIMARY KEY, user_id INTEGER REFERENCES users (id) ON DELETE CASCADE)";
    /// engine.sql(orders).execute().await?;
    ///
    /// let undeclared = engine.undeclared_cascades::<(User,)>().await?;
    /// assert_eq!(undeclared[0].table.as_deref(), Some("orders"));
    /// assert_eq!(undeclared[0].by, "ON DELETE CASCADE");
    /// # Ok(())
    /// # }
    /// ```
    pub fn undeclared_cascades<T: Tables>(&self) -> BoxFuture<'_, Result<Vec<UndeclaredCascade>>> {
        let schemas = T::schemas();
        Box::pin(async move { self.undeclared(&schemas).await })
    }

    async fn undeclared(&self, schemas: &[&'static Schema]) -> Result<Vec<UndeclaredCascade>> {
        self.check_open()?;
        let all = self.database().cascades().await?;
        Ok(schemas.iter().flat_map(|schema| undeclared(schema, &all)).collect())
    }

    /// Warns of each; a database that does not tell is no reason to fail.
    pub(super) async fn warn_of_cascades(&self, schemas: &[&'static Schema]) {
        match self.undeclared(schemas).await {
            Ok(all) => all.iter().for_each(|cascade| tracing::warn!("{cascade}")),
            Err(error) => tracing::debug!(%error, "the database did not tell its cascades"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn chains_of_cascades_are_followed_and_end() {
        let all = [
            Cascade::new("a", Some("b".into()), "ON DELETE CASCADE"),
            Cascade::new("b", Some("c".into()), "ON DELETE SET NULL"),
            Cascade::new("c", Some("a".into()), "ON DELETE CASCADE"),
            Cascade::new("c", None, "trigger `t`"),
            Cascade::new("x", Some("y".into()), "ON UPDATE CASCADE"),
        ];
        let tables: Vec<Option<&str>> =
            reached("a", &all).iter().map(|cascade| cascade.to.as_deref()).collect();
        assert_eq!(tables, [Some("b"), Some("c"), Some("a"), None]);
    }
}
