//! Transactions: reads past the cache, invalidations at commit.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::ops::{Deref, DerefMut};
use std::sync::{Arc, Mutex, PoisonError};

use tokio::sync::{Mutex as AsyncMutex, OwnedMutexGuard};

use super::Engine;
use super::write::{Touched, in_parts, in_task, perform, surely_refused};
use crate::cache::stamps::StampName;
use crate::database::{RawRows, RawStatement, Savepoint, Transaction, TxOptions, Written};
use crate::error::{Error, ErrorKind, Result};
use crate::plan::WritePlan;
use crate::query::Target;
use crate::query::raw::Sql;

/// A transaction: queries take `&tx` where they took `&engine`.
///
/// Reads go past the cache: they neither take from it nor fill it. Writes gather what they touch; it is invalidated when
/// the commit is through, before [`commit`](Self::commit) returns. Rolling back, or dropping the transaction, invalidates
/// nothing. Queries on one transaction queue behind each other. [`savepoint`](Self::savepoint) begins a part that can be undone by itself.
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
    read_only: bool,
    /// How deep it is: 0 for the transaction itself, 1 for a savepoint in it, and so on.
    depth: usize,
    /// Which of the savepoints that were ever this deep it is.
    serial: u64,
    /// Whether this is the handle that ends it; the others are copies that queries hold.
    owner: bool,
}

type Connection = Arc<AsyncMutex<Option<Box<dyn Transaction>>>>;

struct Shared {
    /// `None` when it is over.
    connection: Connection,
    levels: Mutex<Levels>,
}

/// The transaction and the savepoints that are open in it, the innermost last.
struct Levels {
    open: Vec<Level>,
    /// How many savepoints there were.
    count: u64,
}

/// What was written since a savepoint was set.
#[derive(Default)]
struct Level {
    serial: u64,
    touched: Gathered,
    /// Nobody holds it any more: it is undone before anything else is done.
    dropped: bool,
}

/// What a transaction invalidates when it is committed. Of a model with very many names everything, so that a long transaction needs no
/// more memory, and no more of Redis, than a short one.
#[derive(Default)]
struct Gathered {
    names: BTreeSet<StampName>,
    /// How many names were gathered, by model.
    counts: BTreeMap<&'static str, usize>,
}

impl Gathered {
    /// Of a model with more names than this everything goes.
    const MOST: usize = 10_000;

    fn add(
        &mut self,
        model: &'static str,
        names: Vec<StampName>,
        everything: impl FnOnce() -> Vec<StampName>,
    ) {
        let count = self.counts.entry(model).or_default();
        if *count > Self::MOST {
            return;
        }
        *count += names.len();
        if *count > Self::MOST {
            self.names.extend(everything());
        } else {
            self.names.extend(names);
        }
    }

    fn extend(&mut self, other: Self) {
        self.names.extend(other.names);
        for (model, count) in other.counts {
            *self.counts.entry(model).or_default() += count;
        }
    }
}

/// What nobody ended is undone: a savepoint before the transaction is used again, the transaction when its last query is through.
impl Drop for Tx {
    fn drop(&mut self) {
        if !self.owner {
            return;
        }
        let mut levels = self.levels();
        if self.depth == 0 {
            levels.open.clear();
        } else if let Some(level) = levels.open.get_mut(self.depth)
            && level.serial == self.serial
        {
            level.dropped = true;
        }
    }
}

impl fmt::Debug for Tx {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Tx").field("engine", &self.engine).field("depth", &self.depth).finish_non_exhaustive()
    }
}

fn finished() -> Error {
    Error::new(ErrorKind::TransactionFinished, "the transaction was committed or rolled back already")
}

/// What a write says in a transaction that only reads.
pub(crate) fn read_only() -> Error {
    Error::new(
        ErrorKind::InvalidQuery,
        "the transaction only reads: begin it without `read_only()`, or write through another",
    )
}

fn savepoint_open() -> Error {
    Error::new(
        ErrorKind::InvalidQuery,
        "a savepoint of this transaction is open: use it, or end it by `commit`, `rollback` or by dropping it",
    )
}

/// The connection of a transaction while a query uses it.
pub(crate) struct Held(OwnedMutexGuard<Option<Box<dyn Transaction>>>);

impl Held {
    /// The connection, when it is free and belongs to this handle.
    async fn new(tx: &Tx) -> Result<Self> {
        let guard = Arc::clone(&tx.shared.connection).lock_owned().await;
        if guard.is_none() {
            return Err(finished());
        }
        let mut held = Self(guard);
        if tx.first_dropped().is_some() {
            let tx = tx.share();
            held = in_task(async move {
                tx.undo_dropped(&mut held).await?;
                Ok(held)
            })
            .await?;
        }
        tx.check_innermost()?;
        Ok(held)
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
    pub(crate) fn new(engine: Engine, transaction: Box<dyn Transaction>, options: TxOptions) -> Self {
        let connection = Arc::new(AsyncMutex::new(Some(transaction)));
        let levels = Mutex::new(Levels { open: vec![Level::default()], count: 0 });
        let (shared, read_only) = (Arc::new(Shared { connection, levels }), options.read_only);
        Self { engine, shared, read_only, depth: 0, serial: 0, owner: true }
    }

    /// A second handle on the same transaction or savepoint, which ends nothing when it is dropped.
    pub(crate) fn share(&self) -> Self {
        let (engine, shared) = (self.engine.clone(), Arc::clone(&self.shared));
        let (read_only, depth, serial) = (self.read_only, self.depth, self.serial);
        Self { engine, shared, read_only, depth, serial, owner: false }
    }

    pub(crate) fn is_read_only(&self) -> bool {
        self.read_only
    }

    pub(crate) fn engine(&self) -> &Engine {
        &self.engine
    }

    /// A statement in the database's own language, within the transaction; as [`Engine::sql`].
    pub fn sql<'a>(&'a self, text: &str) -> Sql<'a> {
        Sql::new(Target::Tx(self), text)
    }

    /// A command in MongoDB's own language, within the transaction; as [`Engine::command`].
    #[cfg(feature = "mongodb")]
    pub fn command(&self, command: impl Into<crate::database::Command>) -> Sql<'_> {
        Sql::command(Target::Tx(self), command.into())
    }

    /// Begins a part of the transaction that can be undone by itself.
    ///
    /// It is a [`Tx`] again: [`commit`](Self::commit) makes what it did a part of this transaction, which alone makes it permanent and
    /// invalidates it; [`rollback`](Self::rollback), and dropping it, undo what it did and forget what that would have invalidated. Until then
    /// this transaction itself cannot be used: that is an error. Savepoints nest.
    ///
    /// # Errors
    /// [`ErrorKind::InvalidQuery`] while a savepoint of this transaction is open already, and on a database without savepoints;
    /// [`ErrorKind::TransactionFinished`]; else what the database said.
    ///
    /// # Examples
    ///
    /// ```
    /// # use pie::prelude::*;
    /// # #[derive(Debug, Clone, Model)]
    /// # struct User { #[pie(id, auto)] id: i64, #[pie(unique)] email: String }
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() -> pie::Result<()> {
    /// # let engine = Engine::builder().database("sqlite::memory:").build().await?;
    /// # engine.create_tables::<(User,)>().await?;
    /// let tx = engine.begin().await?;
    /// User::insert(&tx, NewUser { email: "ann".into() }).await?;
    /// for email in ["bob", "ann"] {
    ///     let part = tx.savepoint().await?;
    ///     match User::insert(&part, NewUser { email: email.into() }).await {
    ///         Ok(_) => part.commit().await?,
    ///         Err(_) => part.rollback().await?, // and the rest of the transaction goes on
    ///     }
    /// }
    /// tx.commit().await?;
    /// assert_eq!(User::query(&engine).count().await?, 2);
    /// # Ok(())
    /// # }
    /// ```
    pub async fn savepoint(&self) -> Result<Self> {
        let tx = self.share();
        in_task(async move {
            let mut held = Held::new(&tx).await?;
            let depth = tx.depth + 1;
            held.savepoint(Savepoint::Set(number(depth))).await?;
            let mut levels = tx.levels();
            levels.count += 1;
            let serial = levels.count;
            levels.open.push(Level { serial, ..Level::default() });
            drop(levels);
            // Made here, so that a caller who went away meanwhile leaves one that is dropped.
            let (engine, shared) = (tx.engine.clone(), Arc::clone(&tx.shared));
            Ok(Self { engine, shared, read_only: tx.read_only, depth, serial, owner: true })
        })
        .await
    }

    /// Makes the writes permanent, then invalidates what they touched, then returns. Of a savepoint: makes them a part of the transaction
    /// that it was set in.
    ///
    /// Once called, commit and invalidation are carried out even if the returned future is dropped.
    ///
    /// # Errors
    /// [`ErrorKind::TransactionFinished`] when it is over already; [`ErrorKind::InvalidQuery`] while a savepoint of it is open: then it is
    /// rolled back; else what the database said. When it surely refused (a constraint, a serialization failure, a lock) nothing is
    /// invalidated. When its answer was lost, nobody knows whether the writes are permanent: what they touched is invalidated all the same.
    pub async fn commit(self) -> Result<()> {
        let running = self.engine.chain().tasks.start();
        in_task(async move {
            let mut held = match Held::new(&self).await {
                Ok(held) => held,
                Err(error) if self.depth == 0 => {
                    // A savepoint is open, or it is over: in either case nothing of it becomes permanent.
                    let transaction = self.shared.connection.lock().await.take();
                    if let Some(transaction) = transaction {
                        let _ = transaction.rollback().await;
                    }
                    return Err(error);
                }
                Err(error) => return Err(error),
            };
            if self.depth > 0 {
                let result = held.savepoint(Savepoint::Release(number(self.depth))).await;
                let mut levels = self.levels();
                // Also when the database refused: then the transaction cannot go on, and what it invalidates too much costs a load.
                if let Some(level) = levels.open.pop()
                    && let Some(outer) = levels.open.last_mut()
                {
                    outer.touched.extend(level.touched);
                }
                return result;
            }
            let Some(transaction) = held.0.take() else { return Err(finished()) };
            let mut touched = Vec::new();
            for level in self.levels().open.drain(..) {
                touched.extend(level.touched.names);
            }
            let pending = self.engine.chain().pending(&touched);
            let result = transaction.commit().await;
            if !result.as_ref().is_err_and(surely_refused) {
                self.engine.chain().settle(Some(pending), &touched).await;
            }
            drop(running);
            result
        })
        .await
    }

    /// Undoes the writes. Nothing is invalidated, because nothing changed. Of a savepoint: undoes what was done since it was set.
    ///
    /// # Errors
    /// [`ErrorKind::TransactionFinished`] when it is over already; else what the database said.
    pub async fn rollback(self) -> Result<()> {
        if self.depth == 0 {
            // Whatever savepoints are open: they are undone with it.
            let transaction = self.shared.connection.lock().await.take().ok_or_else(finished)?;
            return transaction.rollback().await;
        }
        in_task(async move {
            let mut held = Held::new(&self).await?;
            let result = held.savepoint(Savepoint::Undo(number(self.depth))).await;
            if result.is_ok() {
                let mut levels = self.levels();
                levels.open.pop();
                if mistake!(SavepointForgetsOuter) {
                    levels.open.iter_mut().for_each(|level| level.touched = Gathered::default());
                }
            }
            result
        })
        .await
    }

    fn levels(&self) -> std::sync::MutexGuard<'_, Levels> {
        self.shared.levels.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn first_dropped(&self) -> Option<usize> {
        self.levels().open.iter().position(|level| level.dropped)
    }

    /// Undoes the outermost savepoint that was dropped, and all that are in it.
    async fn undo_dropped(&self, held: &mut Held) -> Result<()> {
        if let Some(depth) = self.first_dropped() {
            held.savepoint(Savepoint::Undo(number(depth))).await?;
            self.levels().open.truncate(depth);
        }
        Ok(())
    }

    fn check_innermost(&self) -> Result<()> {
        let levels = self.levels();
        match levels.open.get(self.depth) {
            Some(level) if level.serial == self.serial => {}
            _ => return Err(finished()),
        }
        if levels.open.len() > self.depth + 1 { Err(savepoint_open()) } else { Ok(()) }
    }

    /// Adds to what is invalidated at commit.
    pub(crate) fn touch_names(&self, names: Vec<StampName>) {
        self.touch(|all| all.names.extend(names));
    }

    fn touch(&self, add: impl FnOnce(&mut Gathered)) {
        if let Some(level) = self.levels().open.get_mut(self.depth) {
            add(&mut level.touched);
        }
    }

    /// The connection, when it is free.
    pub(crate) async fn session(&self) -> Result<impl DerefMut<Target = dyn Transaction> + use<>> {
        Held::new(self).await
    }

    pub(crate) async fn write(&self, plan: WritePlan) -> Result<Written> {
        if self.read_only {
            return Err(read_only());
        }
        let tx = self.share();
        in_task(async move {
            let schema = plan.schema();
            let mut held = Held::new(&tx).await?;
            let database = tx.engine.database();
            let in_parts = in_parts(&plan, database.max_values());
            let (result, touched) = match perform(&mut *held, plan, database).await {
                Ok((written, touched)) => (Ok(written), touched),
                // A statement that a constraint refuses has done nothing.
                Err(error) if surely_refused(&error) && !in_parts => (Err(error), Touched::nothing()),
                // A part of it may have been done, and may still be committed.
                Err(error) => (Err(error), Touched::Families),
            };
            // Before the connection is free again: a commit that follows has it all.
            let engine = &tx.engine;
            tx.touch(|all| {
                all.add(schema.model, touched.stamps(engine, schema), || {
                    Touched::Families.stamps(engine, schema)
                });
            });
            drop(held);
            result
        })
        .await
    }

    pub(crate) async fn raw(&self, statement: RawStatement, touched: Vec<StampName>) -> Result<RawRows> {
        let tx = self.share();
        in_task(async move {
            let mut held = Held::new(&tx).await?;
            tx.touch_names(touched);
            held.raw(&statement).await
        })
        .await
    }
}

/// The number of a savepoint this deep.
fn number(depth: usize) -> u32 {
    u32::try_from(depth).unwrap_or(u32::MAX)
}
