//! Counts the statements that go to a database, whatever database it is.

use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use super::{
    Cascade, Database, RawRows, RawStatement, Returns, Row, Savepoint, Session, Transaction, TxOptions,
    Written,
};
use crate::cache::BoxFuture;
use crate::error::Result;
use crate::model::Schema;
use crate::plan::{ReadPlan, WritePlan};

/// A database whose statements are counted.
pub(crate) struct Counted {
    inner: Arc<dyn Database>,
    statements: Arc<AtomicU64>,
}

impl Counted {
    pub(crate) fn new(inner: Arc<dyn Database>) -> Self {
        Self { inner, statements: Arc::default() }
    }

    /// Statements so far; those that begin and end transactions and savepoints do not count, nor do those that create tables or ask for cascades.
    pub(crate) fn statements(&self) -> u64 {
        self.statements.load(Ordering::Relaxed)
    }
}

impl fmt::Debug for Counted {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.inner.fmt(f)
    }
}

/// A session or a transaction whose statements are counted.
struct CountedSession<S: ?Sized>(Arc<AtomicU64>, Box<S>);

impl<S: Session + ?Sized> Session for CountedSession<S> {
    fn read<'a>(&'a mut self, plan: &'a ReadPlan) -> BoxFuture<'a, Result<Vec<Row>>> {
        self.0.fetch_add(1, Ordering::Relaxed);
        self.1.read(plan)
    }

    fn write<'a>(&'a mut self, plan: &'a WritePlan) -> BoxFuture<'a, Result<Written>> {
        self.0.fetch_add(1, Ordering::Relaxed);
        self.1.write(plan)
    }

    fn raw<'a>(&'a mut self, statement: &'a RawStatement) -> BoxFuture<'a, Result<RawRows>> {
        self.0.fetch_add(1, Ordering::Relaxed);
        self.1.raw(statement)
    }
}

impl Transaction for CountedSession<dyn Transaction> {
    fn savepoint(&mut self, savepoint: Savepoint) -> BoxFuture<'_, Result<()>> {
        self.1.savepoint(savepoint)
    }

    fn commit(self: Box<Self>) -> BoxFuture<'static, Result<()>> {
        self.1.commit()
    }

    fn rollback(self: Box<Self>) -> BoxFuture<'static, Result<()>> {
        self.1.rollback()
    }
}

impl Database for Counted {
    fn name(&self) -> &'static str {
        self.inner.name()
    }

    fn session(&self) -> Box<dyn Session> {
        Box::new(CountedSession(Arc::clone(&self.statements), self.inner.session()))
    }

    fn read<'a>(&'a self, plan: &'a ReadPlan) -> BoxFuture<'a, Result<Vec<Row>>> {
        self.statements.fetch_add(1, Ordering::Relaxed);
        self.inner.read(plan)
    }

    fn begin(&self, options: TxOptions) -> BoxFuture<'_, Result<Box<dyn Transaction>>> {
        Box::pin(async move {
            let inner = self.inner.begin(options).await?;
            Ok(Box::new(CountedSession(Arc::clone(&self.statements), inner)) as Box<dyn Transaction>)
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

    fn check_model(&self, schema: &'static Schema) -> Result<()> {
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
