//! MongoDB, through its official driver: a table is a collection, a row is a document, the id is `_id`.
//!
//! A write of one row is one call that gives the row back as it was, so that nothing has to be locked. Several rows are written in a
//! transaction where the server has them, which one that stands alone has not.
//!
//! How values are stored is in `value`, how conditions are asked in `filter`; `call` runs plans, `command` what is written by hand.

mod call;
pub(crate) mod command;
mod failure;
mod filter;
mod transaction;
mod value;

use std::fmt;
use std::sync::Arc;
use std::time::{Duration, Instant};

use ::mongodb::bson::{Bson, Document, doc};
use ::mongodb::options::{ClientOptions, IndexOptions, ReadPreference, SelectionCriteria};
use ::mongodb::{Client, Collection, IndexModel};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use self::call::Call;
use super::refusal::bad_url;
use super::{
    Database, DatabaseOptions, RawRows, RawStatement, Returns, Row, Session, Transaction, TxOptions, Written,
};
use crate::cache::BoxFuture;
use crate::error::{Error, ErrorKind, Result};
use crate::model::{ColumnType, Index, Model, RowReader, Schema};
use crate::plan::{ReadPlan, WritePlan};
use crate::task;

const EXAMPLE: &str = "mongodb://user:password@host:27017/name";

/// A database of a MongoDB server; open it with `Engine::builder().database("mongodb://host:27017/name")`, or hand in a
/// `mongodb::Database`.
///
/// Reads go to the primary: a secondary may not have a row yet that was written and invalidated, and the cache would keep what it said. A
/// URL that asks for another read preference is refused, and so are writes that nobody acknowledges (`w=0`).
///
/// # Examples
///
/// ```no_run
/// # use pie::prelude::*;
/// # async fn example() -> pie::Result<()> {
/// let engine = Engine::builder().database("mongodb://127.0.0.1:27017/app").build().await?;
/// # Ok(())
/// # }
/// ```
#[derive(Clone)]
pub struct MongoDb(Arc<Inner>);

struct Inner {
    database: ::mongodb::Database,
    /// The driver waits for a connection as long as it takes; this, as long as was asked for.
    connections: Arc<Semaphore>,
    max_connections: u32,
    acquire_timeout: Duration,
    statement_timeout: Option<Duration>,
    slow_statement: Duration,
    server: Server,
    /// Whether the client is the engine's own, and ends with it.
    owned: bool,
}

/// What the server can do.
#[derive(Debug, Clone, Copy)]
struct Server {
    /// It is part of a replica set, or in front of some.
    transactions: bool,
    /// It knows collations, and so a collection may have one.
    collations: bool,
}

impl fmt::Debug for MongoDb {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("MongoDb").field("server", &self.0.server).finish_non_exhaustive()
    }
}

impl MongoDb {
    /// Opens the database of a URL.
    ///
    /// # Errors
    /// [`ErrorKind::InvalidConfig`] for a URL that cannot be used, and [`ErrorKind::Connection`] when no server answers in time, or refuses the
    /// credentials.
    pub async fn open(url: &str, options: DatabaseOptions) -> Result<Self> {
        let timeout = options.acquire_timeout.max(Duration::from_millis(1));
        let mut settings =
            ClientOptions::parse(url).await.map_err(|error| match failure::failure(&error, None) {
                error if error.kind() == ErrorKind::Connection => error,
                _ => bad_url("MongoDB", EXAMPLE),
            })?;
        let Some(name) = settings.default_database.clone() else {
            let message = format!("the MongoDB URL names no database: write `{EXAMPLE}`");
            return Err(Error::new(ErrorKind::InvalidConfig, message));
        };
        settings.app_name.get_or_insert_with(|| "pie".to_owned());
        // One more, for what the driver asks by itself.
        settings.max_pool_size = Some(options.max_connections.max(1).saturating_add(1));
        settings.min_pool_size = Some(options.min_connections.min(options.max_connections.max(1)));
        settings.max_idle_time = options.idle_timeout;
        settings.connect_timeout = Some(timeout);
        settings.server_selection_timeout = Some(timeout);
        let client = Client::with_options(settings).map_err(|_| bad_url("MongoDB", EXAMPLE))?;
        Self::new(client.database(&name), options, true).await
    }

    /// A database of a client of the program's own. Of the options those count that are not the client's: how long to wait for a connection,
    /// and the limits of calls.
    ///
    /// # Errors
    /// As [`open`](Self::open).
    pub async fn from_database(database: ::mongodb::Database, options: DatabaseOptions) -> Result<Self> {
        Self::new(database, options, false).await
    }

    async fn new(database: ::mongodb::Database, options: DatabaseOptions, owned: bool) -> Result<Self> {
        check_settings(&database)?;
        let server = ask_server(&database, options.acquire_timeout).await?;
        // No semaphore has more permits than that, on any machine.
        let max_connections = options.max_connections.clamp(1, u32::MAX >> 4);
        Ok(Self(Arc::new(Inner {
            database,
            connections: Arc::new(Semaphore::new(
                usize::try_from(max_connections).unwrap_or(Semaphore::MAX_PERMITS),
            )),
            max_connections,
            acquire_timeout: options.acquire_timeout,
            statement_timeout: options.statement_timeout,
            slow_statement: options.slow_statement,
            server,
            owned,
        })))
    }

    /// The database in the driver's own form, for everything that is not pie's.
    #[must_use]
    pub fn database(&self) -> &::mongodb::Database {
        &self.0.database
    }

    /// The model of a document that the program asked the driver for: `_id` and the names of the columns, with other fields among them.
    ///
    /// # Errors
    /// A field is missing whose column is no `Option`, or holds what its field refuses.
    pub fn model<M: Model>(document: Document) -> Result<M> {
        RowReader::new(M::SCHEMA, value::row(M::SCHEMA, document)?).and_then(M::from_row)
    }

    fn collection(&self, schema: &Schema) -> Collection<Document> {
        self.0.database.collection(schema.table)
    }

    /// A connection's place, for as long as one is in use.
    async fn connection(&self) -> Result<OwnedSemaphorePermit> {
        match task::timeout(self.0.acquire_timeout, Arc::clone(&self.0.connections).acquire_owned()).await {
            Some(Ok(permit)) => Ok(permit),
            Some(Err(_)) => Err(Error::new(ErrorKind::Closed, "the engine was closed")),
            None => Err(Error::new(
                ErrorKind::PoolTimeout,
                "no connection became free in time; a task that has a transaction open must use it for its reads as well",
            )),
        }
    }

    /// Runs calls of the driver in a task of its own: dropped half-way they would leave a connection that has to be thrown away.
    async fn run<T: Send + 'static>(
        &self,
        what: &'static str,
        collection: &'static str,
        work: impl Future<Output = T> + Send + 'static,
    ) -> Result<T> {
        let permit = self.connection().await?;
        self.run_with(what, collection, async move {
            let done = work.await;
            drop(permit);
            done
        })
        .await
    }

    /// The same with a connection that is there already.
    async fn run_with<T: Send + 'static>(
        &self,
        what: &'static str,
        collection: &'static str,
        work: impl Future<Output = T> + Send + 'static,
    ) -> Result<T> {
        let slow = self.0.slow_statement;
        let work = async move {
            let begun = Instant::now();
            let done = work.await;
            let elapsed = begun.elapsed();
            if elapsed > slow {
                tracing::warn!(target: "pie::mongodb", what, collection, ?elapsed, "slow call");
            } else {
                tracing::debug!(target: "pie::mongodb", what, collection, ?elapsed);
            }
            done
        };
        task::spawn(work)
            .await
            .ok_or_else(|| Error::new(ErrorKind::Interrupted, "the call was stopped: the runtime shut down"))
    }
}

/// Refuses a client that reads what may be stale, or does not hear what became of its writes.
fn check_settings(database: &::mongodb::Database) -> Result<()> {
    let refused = |what| Err(Error::new(ErrorKind::InvalidConfig, what));
    match database.selection_criteria() {
        None | Some(SelectionCriteria::ReadPreference(ReadPreference::Primary)) => {}
        Some(_) => {
            return refused(
                "a secondary may not have what was just written, and the cache would keep that: leave `readPreference` away",
            );
        }
    }
    let unacknowledged = ::mongodb::options::Acknowledgment::Nodes(0);
    match database.write_concern().and_then(|concern| concern.w.clone()) {
        Some(w) if w == unacknowledged => {
            refused("nobody would know which writes were done: leave `w=0` away")
        }
        _ => Ok(()),
    }
}

/// Asks what the server is. The first call of a client: where there is no server, this says so.
async fn ask_server(database: &::mongodb::Database, timeout: Duration) -> Result<Server> {
    let database = database.clone();
    let ask = task::spawn(async move {
        let hello = match database.run_command(doc! { "hello": 1 }).await {
            Ok(answer) => answer,
            // A server that knows the older name only.
            Err(error) if matches!(&*error.kind, ::mongodb::error::ErrorKind::Command(refused) if refused.code == 59) => {
                database.run_command(doc! { "isMaster": 1 }).await?
            }
            Err(error) => return Err(error),
        };
        let transactions =
            hello.contains_key("setName") || hello.get_str("msg").is_ok_and(|msg| msg == "isdbgrid");
        // Who may not ask this has a server of MongoDB's own.
        let build = database.run_command(doc! { "buildInfo": 1 }).await.unwrap_or_default();
        Ok(Server { transactions, collations: !build.contains_key("ferretdb") })
    });
    // The driver has its own limit for finding a server, and none for its answer.
    match task::timeout(timeout.saturating_mul(2), ask).await {
        Some(Some(server)) => server.map_err(|error| failure::failure(&error, None)),
        Some(None) => Err(Error::new(ErrorKind::Interrupted, "the runtime shut down")),
        None => Err(Error::new(ErrorKind::Connection, "the MongoDB server does not answer")),
    }
}

/// Runs each plan on a connection of its own.
struct Alone(MongoDb);

impl Session for Alone {
    fn read<'a>(&'a mut self, plan: &'a ReadPlan) -> BoxFuture<'a, Result<Vec<Row>>> {
        let (mongo, plan) = (self.0.clone(), plan.clone());
        Box::pin(async move {
            let schema = plan.schema;
            let inner = mongo.clone();
            mongo.run("read", schema.table, async move { Call::alone(&inner).read(&plan).await }).await?
        })
    }

    fn write<'a>(&'a mut self, plan: &'a WritePlan) -> BoxFuture<'a, Result<Written>> {
        let (mongo, plan) = (self.0.clone(), plan.clone());
        Box::pin(async move {
            let schema = plan.schema();
            let inner = mongo.clone();
            mongo.run("write", schema.table, async move { Call::alone(&inner).write(&plan).await }).await?
        })
    }

    fn raw<'a>(&'a mut self, statement: &'a RawStatement) -> BoxFuture<'a, Result<RawRows>> {
        let mongo = self.0.clone();
        Box::pin(async move {
            let command = command_of(statement)?;
            let inner = mongo.clone();
            mongo.run("command", "", async move { Call::alone(&inner).command(&command).await }).await?
        })
    }
}

fn command_of(statement: &RawStatement) -> Result<command::Command> {
    statement.command.clone().ok_or_else(|| {
        let message = "MongoDB takes no SQL: use `command(doc! { … })`, such as \
             `engine.command(doc! { \"find\": \"users\", \"filter\": { \"age\": 18 } })`";
        Error::new(ErrorKind::Unsupported, message)
    })
}

/// The keys of an index, and what it leaves out.
fn index_model(schema: &'static Schema, index: &Index, unique: bool) -> Result<IndexModel> {
    let mut keys = Document::new();
    let (mut nullable, mut present) = (0, Document::new());
    for at in index.columns {
        let path = value::path(schema, *at)?;
        if let Some(def) = schema.columns.get(*at).filter(|def| def.nullable) {
            nullable += 1;
            present.insert(path.clone(), doc! { "$gte": least(def.ty) });
        }
        keys.insert(path, 1);
    }
    let kind = if unique { "unique" } else { "index" };
    let mut options = IndexOptions::default();
    options.name = Some(format!("{}_{}_{kind}", schema.table, index.name));
    if unique {
        options.unique = Some(true);
        // `NULL` is equal to nothing, and a field that is not there would be to another.
        match (nullable, index.columns.len()) {
            (0, _) => {}
            (_, 1) => options.sparse = Some(true),
            _ => options.partial_filter_expression = Some(present),
        }
    }
    Ok(IndexModel::builder().keys(keys).options(options).build())
}

/// What no value of a type is below: a filter that it is there, as an index takes it.
fn least(ty: ColumnType) -> Bson {
    use ColumnType as Ty;
    match ty {
        Ty::Bool => Bson::Boolean(false),
        Ty::Int16 | Ty::Int32 | Ty::Int64 | Ty::UInt64 | Ty::Float32 | Ty::Float64 => {
            Bson::Double(f64::NEG_INFINITY)
        }
        Ty::Text | Ty::Date | Ty::Time => Bson::String(String::new()),
        Ty::Bytes | Ty::Uuid => Bson::Binary(::mongodb::bson::Binary {
            subtype: ::mongodb::bson::spec::BinarySubtype::Generic,
            bytes: Vec::new(),
        }),
        Ty::ObjectId => Bson::ObjectId(::mongodb::bson::oid::ObjectId::from_bytes([0; 12])),
        Ty::DateTime | Ty::Timestamp => Bson::DateTime(::mongodb::bson::DateTime::MIN),
        Ty::Json => Bson::MinKey,
    }
}

/// The command that deletes rows, for a test that goes past the models.
#[cfg(test)]
pub(crate) fn delete_command(
    schema: &'static Schema,
    condition: &crate::plan::filter::Condition,
) -> Result<command::Command> {
    let wanted = filter::filter(schema, Some(condition))?;
    Ok(doc! { "delete": schema.table, "deletes": [{ "q": wanted, "limit": 0 }] }.into())
}

impl Database for MongoDb {
    fn name(&self) -> &'static str {
        "MongoDB"
    }

    fn session(&self) -> Box<dyn Session> {
        Box::new(Alone(self.clone()))
    }

    fn begin(&self, options: TxOptions) -> BoxFuture<'_, Result<Box<dyn Transaction>>> {
        Box::pin(transaction::begin(self.clone(), options))
    }

    fn transactions(&self) -> bool {
        self.0.server.transactions
    }

    fn is_atomic(&self) -> bool {
        false
    }

    fn check_model(&self, schema: &'static Schema) -> Result<()> {
        let bad = |name: &&'static str| {
            name.is_empty() || name.starts_with('$') || name.contains('.') || *name == value::ID
        };
        let ids = schema.id.columns;
        let single = |at: usize| ids.len() == 1 && ids.contains(&at);
        let names = schema.columns.iter().enumerate().filter(|(at, _)| !single(*at)).map(|(_, def)| def.name);
        let json = |at: &&usize| schema.columns.get(**at).is_some_and(|def| def.ty == ColumnType::Json);
        let keys = std::iter::once(&schema.id).chain(schema.uniques).flat_map(|index| index.columns);
        if let Some(def) = keys.into_iter().find(json).and_then(|at| schema.columns.get(*at)) {
            let what = "MongoDB takes JSON for equal that is not, such as 1 and 1.0: it is no key of a row";
            return Err(Error::new(ErrorKind::Unsupported, what)
                .with_model(schema.model)
                .with_column(def.name));
        }
        match names.into_iter().find(bad) {
            Some(name) => Err(Error::new(
                ErrorKind::Unsupported,
                "MongoDB has no field of this name: write another in `#[pie(column = \"…\")]`, without `.`, `$` in front, and not `_id`",
            )
            .with_model(schema.model)
            .with_column(name)),
            None => Ok(()),
        }
    }

    fn create_table(&self, schema: &'static Schema) -> BoxFuture<'_, Result<()>> {
        Box::pin(async move {
            let indexes = schema
                .uniques
                .iter()
                .map(|index| index_model(schema, index, true))
                .chain(schema.indexes.iter().map(|index| index_model(schema, index, false)))
                .collect::<Result<Vec<_>>>()?;
            let mongo = self.clone();
            let work = async move {
                match mongo.0.database.create_collection(schema.table).await {
                    Ok(()) => {}
                    // It exists.
                    Err(error) if matches!(&*error.kind, ::mongodb::error::ErrorKind::Command(refused) if refused.code == 48) =>
                        {}
                    Err(error) => return Err(failure::of(&error, schema)),
                }
                if !indexes.is_empty() {
                    let created = mongo.collection(schema).create_indexes(indexes).await;
                    created.map_err(|error| failure::of(&error, schema))?;
                }
                Call::alone(&mongo).begin_counting(schema).await
            };
            let done = self.run("create", schema.table, work).await?;
            done.map_err(|error| error.with_query("create_tables"))
        })
    }

    fn returns(&self) -> Returns {
        Returns { old: true, ..Returns::ALL }
    }

    fn max_values(&self) -> usize {
        // Calls are limited in bytes, and not in values: the driver makes several of one that is too long.
        100_000
    }

    fn close(&self) -> BoxFuture<'_, ()> {
        Box::pin(async move {
            // Waits for those that are under way.
            let all = self.0.connections.acquire_many(self.0.max_connections);
            drop(task::timeout(self.0.acquire_timeout, all).await);
            self.0.connections.close();
            if self.0.owned {
                let client = self.0.database.client().clone();
                task::spawn(async move { client.shutdown().immediate(true).await }).await;
            }
        })
    }
}
