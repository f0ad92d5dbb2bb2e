//! Transactions: reads past the cache, invalidations at commit.

use std::collections::BTreeSet;
use std::fmt;
use std::ops::{Deref, DerefMut};
use std::sync::{Arc, Mutex, PoisonError};

use tokio::sync::{Mutex as AsyncMutex, OwnedMutexGuard};

use super::Engine;
use super::write::{Touched, in_task, perform};
use crate::cache::stamps::StampName;
use crate::database::{RawRows, RawStatement, Transaction, Written};
use crate::error::{Error, ErrorKind, Result};
use crate::plan::WritePlan;
use crate::query::Target;
use crate::query::raw::Sql;

/// A transaction: queries take `&tx` where they took `&engine`.
///
/// Reads go past the cache: they neither take from it nor fill it. Writes gather what they touch; it is invalidated when
/// the commit is through, before [`commit`](Self::commit) returns. Rolling back, or dropping the transaction, invalidates
/// nothing. Queries on one transaction queue behind each other.
///
/// # Examples
///
/// ```
/// # use pie::prelude::*;
/// # #[derive(Debug, Clone, Model)]
/// # struct User { #[pie(id, auto)] id: i64, name: String }
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> pie::Result<()> {
/// # let engine = Engine::builder().database("sqlite::memory:").build().await?;
/// # engine.create_tables::<(User,)>().await?;
/// let tx = engine.begin().await?;
/// let ann = User::insert(&tx, NewUser { name: "Ann".into() }).await?;
/// assert!(User::find_by_id(&tx, ann.id).await?.is_some());
/// tx.rollback().await?;
/// assert!(User::find_by_id(&engine, ann.id).await?.is_none());
/// # Ok(())
/// # }
/// ```
#[must_use = "a transaction is rolled back unless `commit().await` is called"]
pub struct Tx {
    engine: Engine,
    shared: Arc<Shared>,
}

type Connection = Arc<AsyncMutex<Option<Box<dyn Transaction>>>>;

struct Shared {
    /// `None` when it is over.
    connection: Connection,
    touched: Mutex<BTreeSet<StampName>>,
}

impl fmt::Debug for Tx {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Tx").field("engine", &self.engine).finish_non_exhaustive()
    }
}

fn finished() -> Error {
    Error::new(ErrorKind::TransactionFinished, "the transaction was committed or rolled back already")
}

/// The connection of a transaction while a query uses it.
pub(crate) struct Held(OwnedMutexGuard<Option<Box<dyn Transaction>>>);

impl Held {
    async fn new(connection: Connection) -> Result<Self> {
        let guard = connection.lock_owned().await;
        if guard.is_some() { Ok(Self(guard)) } else { Err(finished()) }
    }
}

impl Deref for Held {
    type Target = dyn Transaction;

    fn deref(&self) -> &Self::Target {
        match self.0.as_deref() {
            Some(transaction) => transaction,
            None => {
                unreachable!("`Held` is made only of an open transaction, and nothing takes it out meanwhile")
            }
        }
    }
}

impl DerefMut for Held {
    fn deref_mut(&mut self) -> &mut Self::Target {
        match self.0.as_deref_mut() {
            Some(transaction) => transaction,
            None => {
                unreachable!("`Held` is made only of an open transaction, and nothing takes it out meanwhile")
            }
        }
    }
}

impl Tx {
    pub(crate) fn new(engine: Engine, transaction: Box<dyn Transaction>) -> Self {
        let connection = Arc::new(AsyncMutex::new(Some(transaction)));
        Self { engine, shared: Arc::new(Shared { connection, touched: Mutex::new(BTreeSet::new()) }) }
    }

    /// A second handle on the same transaction.
    pub(crate) fn share(&self) -> Self {
        Self { engine: self.engine.clone(), shared: Arc::clone(&self.shared) }
    }

    pub(crate) fn engine(&self) -> &Engine {
        &self.engine
    }

    /// A statement in the database's own language, within the transaction; as [`Engine::sql`].
    pub fn sql<'a>(&'a self, text: &str) -> Sql<'a> {
        Sql::new(Target::Tx(self), text)
    }

    /// Makes the writes permanent, then invalidates what they touched, then returns.
    ///
    /// Once called, commit and invalidation are carried out even if the returned future is dropped.
    ///
    /// # Errors
    /// [`ErrorKind::TransactionFinished`] when it is over already; else what the database said. When its answer was lost,
    /// nobody knows whether the writes are permanent: what they touched is invalidated all the same.
    pub async fn commit(self) -> Result<()> {
        let running = self.engine.chain().tasks.start();
        in_task(async move {
            let transaction = self.take().await?;
            let result = transaction.commit().await;
            let touched: Vec<StampName> = std::mem::take(&mut *self.touched()).into_iter().collect();
            self.engine.chain().invalidate_here(&touched).await;
            drop(running);
            result
        })
        .await
    }

    /// Undoes the writes. Nothing is invalidated, because nothing changed.
    ///
    /// # Errors
    /// [`ErrorKind::TransactionFinished`] when it is over already; else what the database said.
    pub async fn rollback(self) -> Result<()> {
        self.take().await?.rollback().await
    }

    async fn take(&self) -> Result<Box<dyn Transaction>> {
        self.shared.connection.lock().await.take().ok_or_else(finished)
    }

    fn touched(&self) -> std::sync::MutexGuard<'_, BTreeSet<StampName>> {
        self.shared.touched.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Adds to what is invalidated at commit.
    pub(crate) fn touch(&self, names: impl IntoIterator<Item = StampName>) {
        self.touched().extend(names);
    }

    /// The connection, when it is free.
    pub(crate) async fn session(&self) -> Result<impl DerefMut<Target = dyn Transaction> + use<>> {
        Held::new(Arc::clone(&self.shared.connection)).await
    }

    pub(crate) async fn write(&self, plan: WritePlan) -> Result<Written> {
        let tx = self.share();
        in_task(async move {
            let schema = plan.schema();
            let mut held = Held::new(Arc::clone(&tx.shared.connection)).await?;
            let max_values = tx.engine.database().max_values();
            let (result, touched) = match perform(&mut *held, plan, max_values).await {
                Ok((written, touched)) => (Ok(written), touched),
                // A part of it may have been done, and may still be committed.
                Err(error) => (Err(error), Touched::Families),
            };
            // Before the connection is free again: a commit that follows has it all.
            tx.touch(touched.stamps(&tx.engine, schema));
            drop(held);
            result
        })
        .await
    }

    pub(crate) async fn raw(&self, statement: RawStatement, touched: Vec<StampName>) -> Result<RawRows> {
        let tx = self.share();
        in_task(async move {
            let mut held = Held::new(Arc::clone(&tx.shared.connection)).await?;
            tx.touch(touched);
            held.raw(&statement).await
        })
        .await
    }
}
