//! Transactions, where the server is part of a replica set: each sees one snapshot, and what changes a document that another has changed since
//! fails, to be run again.

use std::sync::Arc;

use ::mongodb::ClientSession;
use ::mongodb::options::{ReadConcern, TransactionOptions, WriteConcern};
use tokio::sync::{Mutex, OwnedSemaphorePermit};

use super::call::Call;
use super::{MongoDb, command_of, failure};
use crate::cache::BoxFuture;
use crate::database::{
    Isolation, RawRows, RawStatement, Row, Savepoint, Session, Transaction, TxOptions, Written,
};
use crate::error::{Error, ErrorKind, Result};
use crate::plan::{ReadPlan, WritePlan};

/// A transaction.
struct Open {
    mongo: MongoDb,
    session: Arc<Mutex<ClientSession>>,
    _connection: OwnedSemaphorePermit,
    /// Why nothing more can be done: after an error the server has rolled everything back.
    ended: Option<Error>,
}

/// Begins one.
pub(super) async fn begin(mongo: MongoDb, options: TxOptions) -> Result<Box<dyn Transaction>> {
    if !mongo.0.server.transactions {
        return Err(Error::new(
            ErrorKind::Unsupported,
            "a MongoDB server that stands alone has no transactions: make it a replica set of one, or write row by row",
        ));
    }
    if options.isolation == Some(Isolation::Serializable) {
        return Err(Error::new(
            ErrorKind::Unsupported,
            "MongoDB has no SERIALIZABLE: its transactions see one snapshot, which is `repeatable read`",
        ));
    }
    let connection = mongo.connection().await?;
    let inner = mongo.clone();
    let session = mongo.run_with("begin", "", async move {
        let mut session = inner.0.database.client().start_session().await?;
        let mut options = TransactionOptions::default();
        options.read_concern = Some(ReadConcern::snapshot());
        options.write_concern = Some(WriteConcern::majority());
        session.start_transaction().with_options(options).await?;
        Ok(session)
    });
    let session = session.await?.map_err(|error: ::mongodb::error::Error| failure::failure(&error, None))?;
    Ok(Box::new(Open { mongo, session: Arc::new(Mutex::new(session)), _connection: connection, ended: None }))
}

impl Open {
    /// Runs something in the transaction, in a task that goes on when nobody waits for it any more.
    async fn run<T: Send + 'static>(
        &mut self,
        what: &'static str,
        collection: &'static str,
        work: impl for<'c> FnOnce(&'c MongoDb, &'c mut ClientSession) -> BoxFuture<'c, Result<T>> + Send + 'static,
    ) -> Result<T> {
        if let Some(error) = &self.ended {
            return Err(error.clone());
        }
        // Until it is known how it ended.
        self.ended =
            Some(Error::new(ErrorKind::TransactionFailed, "a call of the transaction was given up half-way"));
        let session = Arc::clone(&self.session).lock_owned().await;
        let mongo = self.mongo.clone();
        let done = self.mongo.run_with(what, collection, async move {
            let mut session = session;
            work(&mongo, &mut session).await
        });
        let done = done.await?;
        self.ended = match &done {
            Ok(_) => None,
            // Refused before it was sent.
            Err(error)
                if matches!(
                    error.kind(),
                    ErrorKind::InvalidValue | ErrorKind::InvalidQuery | ErrorKind::Unsupported
                ) =>
            {
                None
            }
            Err(error) if error.kind() == ErrorKind::SerializationFailure => Some(error.clone()),
            Err(_) => Some(Error::new(
                ErrorKind::TransactionFailed,
                "a call of the transaction failed before, and MongoDB has rolled it back",
            )),
        };
        done
    }
}

impl Session for Open {
    fn read<'a>(&'a mut self, plan: &'a ReadPlan) -> BoxFuture<'a, Result<Vec<Row>>> {
        let plan = plan.clone();
        Box::pin(self.run("read", plan.schema.table, move |mongo, session| {
            Box::pin(async move { Call { mongo, session: Some(session) }.read(&plan).await })
        }))
    }

    fn write<'a>(&'a mut self, plan: &'a WritePlan) -> BoxFuture<'a, Result<Written>> {
        let plan = plan.clone();
        Box::pin(self.run("write", plan.schema().table, move |mongo, session| {
            Box::pin(async move { Call { mongo, session: Some(session) }.write(&plan).await })
        }))
    }

    fn raw<'a>(&'a mut self, statement: &'a RawStatement) -> BoxFuture<'a, Result<RawRows>> {
        Box::pin(async move {
            let command = command_of(statement)?;
            self.run("command", "", move |mongo, session| {
                Box::pin(async move { Call { mongo, session: Some(session) }.command(&command).await })
            })
            .await
        })
    }
}

impl Transaction for Open {
    fn savepoint(&mut self, _: Savepoint) -> BoxFuture<'_, Result<()>> {
        Box::pin(async { Err(Error::new(ErrorKind::Unsupported, "MongoDB has no savepoints")) })
    }

    fn commit(mut self: Box<Self>) -> BoxFuture<'static, Result<()>> {
        Box::pin(async move {
            self.run("commit", "", |_, session| {
                Box::pin(async move {
                    session.commit_transaction().await.map_err(|error| failure::failure(&error, None))
                })
            })
            .await
        })
    }

    fn rollback(mut self: Box<Self>) -> BoxFuture<'static, Result<()>> {
        Box::pin(async move {
            // Also what failed: the server has done it, and the driver has not heard of it.
            self.ended = None;
            self.run("rollback", "", |_, session| {
                Box::pin(async move {
                    session.abort_transaction().await.map_err(|error| failure::failure(&error, None))
                })
            })
            .await
        })
    }
}
