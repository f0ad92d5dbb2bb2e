//! Beginning a transaction, and running a closure in one. The transaction itself is in `tx`.

use std::time::Duration;

use super::{Engine, Tx};
use crate::database::{Database as _, TxOptions};
use crate::error::{ErrorKind, Result};

impl Engine {
    /// Begins a transaction. Dropped without [`Tx::commit`], it is rolled back.
    ///
    /// # Errors
    /// No connection was free in time, or the database is busy or not reachable.
    pub async fn begin(&self) -> Result<Tx> {
        self.begin_with(TxOptions::default()).await
    }

    /// Begins a transaction with an isolation level, or one that only reads.
    ///
    /// # Errors
    /// As [`begin`](Self::begin); and [`ErrorKind::InvalidConfig`] for an isolation level that the database has not.
    ///
    /// # Examples
    ///
    /// ```
    /// # use pie::prelude::*;
    /// # use pie::{ErrorKind, TxOptions};
    /// # #[derive(Debug, Clone, Model)]
    /// # struct Account { #[pie(id, auto)] id: i64, cents: i64 }
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() -> pie::Result<()> {
    /// # let engine = Engine::builder().database("sqlite::memory:").build().await?;
    /// # engine.create_tables::<(Account,)>().await?;
    /// // Both statements see the same state of the database.
    /// let report = engine.begin_with(TxOptions::new().read_only()).await?;
    /// let all = Account::query(&report).await?;
    /// let poor = Account::query(&report).filter(Account::CENTS.lt(100)).count().await?;
    /// # assert!(all.is_empty() && poor == 0);
    /// let refused = Account::insert(&report, NewAccount { cents: 5 }).await.unwrap_err();
    /// assert_eq!(refused.kind(), ErrorKind::InvalidQuery);
    /// report.commit().await?;
    /// # Ok(())
    /// # }
    /// ```
    pub async fn begin_with(&self, options: TxOptions) -> Result<Tx> {
        self.check_open()?;
        Ok(Tx::new(self.clone(), self.core.database.begin(options).await?, options))
    }

    /// Runs a closure in a transaction: `Ok` commits and then invalidates what was written, `Err` rolls back.
    ///
    /// After a [serialization failure](ErrorKind::SerializationFailure), in the closure or at the commit, the closure is run again in a new
    /// transaction, up to three times ([`TxOptions::retries`]): so it may run more than once, and what it does besides should not be done
    /// twice. A value that it would give away it has to clone.
    ///
    /// Reads through the [`Tx`] see the transaction's own writes and go past the cache. Using the engine in the closure is a mistake that
    /// the compiler cannot see. Its reads do not see what the transaction wrote. Its writes wait for the transaction, which
    /// waits for them; on a database with a single connection so do its reads. Neither waits for ever: after the
    /// [`acquire_timeout`](crate::EngineBuilder::acquire_timeout) they fail with [`ErrorKind::Busy`] or [`ErrorKind::PoolTimeout`], and the transaction
    /// is rolled back.
    ///
    /// # Errors
    /// What the closure returned, or what beginning or committing failed with.
    ///
    /// # Examples
    ///
    /// ```
    /// # use pie::prelude::*;
    /// # #[derive(Debug, Clone, Model)]
    /// # struct Account { #[pie(id, auto)] id: i64, cents: i64 }
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() -> pie::Result<()> {
    /// # let engine = Engine::builder().database("sqlite::memory:").build().await?;
    /// # engine.create_tables::<(Account,)>().await?;
    /// # let a = Account::insert(&engine, NewAccount { cents: 10 }).await?.id;
    /// # let b = Account::insert(&engine, NewAccount { cents: 10 }).await?.id;
    /// engine
    ///     .transaction(|tx: Tx| async move {
    ///         let from = Account::find_by_id(&tx, a).required().await?;
    ///         Account::update_by_id(&tx, a).cents(from.cents - 5).await?;
    ///         let to = Account::find_by_id(&tx, b).required().await?;
    ///         Account::update_by_id(&tx, b).cents(to.cents + 5).await?;
    ///         Ok(())
    ///     })
    ///     .await?;
    /// # assert_eq!(Account::find_by_id(&engine, b).required().await?.cents, 15);
    /// # Ok(())
    /// # }
    /// ```
    pub async fn transaction<T, F, Fut>(&self, work: F) -> Result<T>
    where
        F: FnMut(Tx) -> Fut + Send,
        Fut: Future<Output = Result<T>> + Send,
        T: Send,
    {
        self.transaction_with(TxOptions::default(), work).await
    }

    /// As [`transaction`](Self::transaction), with an isolation level, for reads only, or with another number of retries.
    ///
    /// # Errors
    /// As [`transaction`](Self::transaction); and [`ErrorKind::InvalidConfig`] for an isolation level that the database has not.
    ///
    /// # Examples
    ///
    /// ```
    /// # use pie::prelude::*;
    /// # use pie::{Isolation, TxOptions};
    /// # #[derive(Debug, Clone, Model)]
    /// # struct Seat { #[pie(id, auto)] id: i64, #[pie(index)] free: bool }
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() -> pie::Result<()> {
    /// # let engine = Engine::builder().database("sqlite::memory:").build().await?;
    /// # engine.create_tables::<(Seat,)>().await?;
    /// # Seat::insert(&engine, NewSeat { free: true }).await?;
    /// let serializable = TxOptions::new().isolation(Isolation::Serializable).retries(10);
    /// let taken = engine
    ///     .transaction_with(serializable, |tx| async move {
    ///         let Some(seat) = Seat::list_by_free(&tx, true).first().await? else { return Ok(None) };
    ///         Seat::update_by_id(&tx, seat.id).free(false).await
    ///     })
    ///     .await?;
    /// # assert!(taken.is_some());
    /// # Ok(())
    /// # }
    /// ```
    pub async fn transaction_with<T, F, Fut>(&self, options: TxOptions, mut work: F) -> Result<T>
    where
        F: FnMut(Tx) -> Fut + Send,
        Fut: Future<Output = Result<T>> + Send,
        T: Send,
    {
        let mut pause = Duration::from_millis(10);
        let mut left = options.retries;
        loop {
            match self.attempt(options, &mut work).await {
                Err(error) if left > 0 && error.kind() == ErrorKind::SerializationFailure => {
                    tracing::debug!(%error, left, "a transaction is run again");
                    left -= 1;
                    // Spread, so that two that met do not meet again.
                    tokio::time::sleep(pause.mul_f64(1.0 + fastrand::f64())).await;
                    pause = (pause * 2).min(Duration::from_millis(500));
                }
                result => return result,
            }
        }
    }

    async fn attempt<T, F, Fut>(&self, options: TxOptions, work: &mut F) -> Result<T>
    where
        F: FnMut(Tx) -> Fut + Send,
        Fut: Future<Output = Result<T>> + Send,
        T: Send,
    {
        let tx = self.begin_with(options).await?;
        match work(tx.share()).await {
            Ok(value) => {
                tx.commit().await?;
                Ok(value)
            }
            Err(error) => {
                // The work's own error is the answer; the database rolls back by itself if this fails.
                let _ = tx.rollback().await;
                Err(error)
            }
        }
    }
}
