//! A database that asks a hook at each step of a write: it can wait there, fail it, or end the process.

use std::fmt;
use std::sync::Arc;

use pie::cache::BoxFuture;
use pie::database::{
    Cascade, Database, RawRows, RawStatement, Returns, Row, Savepoint, Session, Transaction, Written,
};
use pie::model::Schema;
use pie::plan::{ReadPlan, WritePlan};
use pie::{Result, TxOptions};

/// A step of a write or a transaction.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Step {
    /// A transaction has begun.
    Begun,
    /// The rows were read under lock.
    Locked,
    /// A write is about to be sent.
    Write,
    /// A write was done.
    Written,
    /// The commit is about to be sent.
    Commit,
    /// The commit was done.
    Committed,
}

/// What is done at each step; an error takes the place of the step's result.
pub type Hook = Arc<dyn Fn(Step) -> BoxFuture<'static, Result<()>> + Send + Sync>;

/// A database with a hook.
#[derive(Clone)]
pub struct Stepped {
    inner: Arc<dyn Database>,
    hook: Hook,
}

impl fmt::Debug for Stepped {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Stepped")
    }
}

impl Stepped {
    /// This database, with this hook.
    pub fn new(
        inner: Arc<dyn Database>,
        hook: impl Fn(Step) -> BoxFuture<'static, Result<()>> + Send + Sync + 'static,
    ) -> Self {
        Self { inner, hook: Arc::new(hook) }
    }
}

struct SteppedSession<S: ?Sized>(Hook, Box<S>);

impl<S: Session + ?Sized> Session for SteppedSession<S> {
    fn read<'a>(&'a mut self, plan: &'a ReadPlan) -> BoxFuture<'a, Result<Vec<Row>>> {
        Box::pin(async move {
            let rows = self.1.read(plan).await?;
            if plan.for_update {
                (self.0)(Step::Locked).await?;
            }
            Ok(rows)
        })
    }

    fn write<'a>(&'a mut self, plan: &'a WritePlan) -> BoxFuture<'a, Result<Written>> {
        Box::pin(async move {
            (self.0)(Step::Write).await?;
            let written = self.1.write(plan).await?;
            (self.0)(Step::Written).await?;
            Ok(written)
        })
    }

    fn raw<'a>(&'a mut self, statement: &'a RawStatement) -> BoxFuture<'a, Result<RawRows>> {
        Box::pin(async move {
            (self.0)(Step::Write).await?;
            let rows = self.1.raw(statement).await?;
            (self.0)(Step::Written).await?;
            Ok(rows)
        })
    }
}

impl Transaction for SteppedSession<dyn Transaction> {
    fn savepoint(&mut self, savepoint: Savepoint) -> BoxFuture<'_, Result<()>> {
        self.1.savepoint(savepoint)
    }

    fn commit(self: Box<Self>) -> BoxFuture<'static, Result<()>> {
        Box::pin(async move {
            (self.0)(Step::Commit).await?;
            self.1.commit().await?;
            (self.0)(Step::Committed).await
        })
    }

    fn rollback(self: Box<Self>) -> BoxFuture<'static, Result<()>> {
        self.1.rollback()
    }
}

impl Database for Stepped {
    fn name(&self) -> &'static str {
        "stepped SQLite"
    }

    fn session(&self) -> Box<dyn Session> {
        Box::new(SteppedSession(Arc::clone(&self.hook), self.inner.session()))
    }

    fn begin(&self, options: TxOptions) -> BoxFuture<'_, Result<Box<dyn Transaction>>> {
        Box::pin(async move {
            let inner = self.inner.begin(options).await?;
            (self.hook)(Step::Begun).await?;
            Ok(Box::new(SteppedSession(Arc::clone(&self.hook), inner)) as Box<dyn Transaction>)
        })
    }

    fn check(&self) -> BoxFuture<'_, Result<()>> {
        self.inner.check()
    }

    fn create_table(&self, schema: &'static Schema) -> BoxFuture<'_, Result<()>> {
        self.inner.create_table(schema)
    }

    fn cascades(&self) -> BoxFuture<'_, Result<Vec<Cascade>>> {
        self.inner.cascades()
    }

    fn transactions(&self) -> bool {
        self.inner.transactions()
    }

    fn is_atomic(&self) -> bool {
        self.inner.is_atomic()
    }

    fn check_model(&self, schema: &'static Schema) -> pie::Result<()> {
        self.inner.check_model(schema)
    }

    fn returns(&self) -> Returns {
        self.inner.returns()
    }

    fn max_values(&self) -> usize {
        self.inner.max_values()
    }

    fn close(&self) -> BoxFuture<'_, ()> {
        self.inner.close()
    }
}
