//! Plans as calls of the driver, within a transaction or without one.

use ::mongodb::ClientSession;
use ::mongodb::bson::{Bson, Document, doc, oid::ObjectId};
use ::mongodb::options::{
    AggregateOptions, Collation, CountOptions, DeleteOptions, FindOneAndDeleteOptions,
    FindOneAndUpdateOptions, FindOptions, ReturnDocument, UpdateOptions,
};
use futures_util::TryStreamExt;

use super::filter::filter;
use super::value::{ID, document, path, row, stored, written_row};
use super::{MongoDb, failure, value};
use crate::database::{Row, Written};
use crate::error::{Error, ErrorKind, Result};
use crate::model::{ColumnType, Datum, Index, Schema};
use crate::plan::filter::{Comparison, Condition};
use crate::plan::{Ask, Direction, ReadPlan, WritePlan};

/// The collection of the ids that are counted up: `{ _id: "users", next: 17 }`, of which 17 is taken.
const COUNTERS: &str = "pie_counters";

/// Calls, all of them in one transaction where there is a session.
pub(super) struct Call<'s> {
    pub(super) mongo: &'s MongoDb,
    pub(super) session: Option<&'s mut ClientSession>,
}

/// Awaits an action of the driver, in the session where there is one.
macro_rules! act {
    ($call:expr, $action:expr) => {
        match $call.session.as_deref_mut() {
            Some(session) => $action.session(session).await,
            None => $action.await,
        }
    };
}

/// A limit or an offset; nothing has more rows than that.
fn number(value: u64) -> i64 {
    i64::try_from(value).unwrap_or(i64::MAX)
}

impl<'s> Call<'s> {
    /// Calls that each stand for themselves.
    pub(super) fn alone(mongo: &'s MongoDb) -> Self {
        Self { mongo, session: None }
    }

    /// Text is compared by its bytes, whatever the collection says.
    fn collation(&self) -> Option<Collation> {
        self.mongo.0.server.collations.then(|| Collation::builder().locale("simple").build())
    }

    pub(super) async fn read(&mut self, plan: &ReadPlan) -> Result<Vec<Row>> {
        let schema = plan.schema;
        let wanted = filter(schema, plan.filter.as_ref())?;
        let collection = self.mongo.collection(schema);
        let failed = |error: ::mongodb::error::Error| failure::of(&error, schema);
        let (max_time, collation) = (self.mongo.0.statement_timeout, self.collation());
        match plan.ask {
            // To MongoDB this is no limit; and nothing has so many rows.
            Ask::Rows | Ask::Distinct(_)
                if plan.limit == Some(0) || plan.offset.is_some_and(|by| number(by) == i64::MAX) =>
            {
                Ok(Vec::new())
            }
            Ask::Rows => {
                let mut options = FindOptions::default();
                let mut order = Document::new();
                for by in &plan.order {
                    let sign = if by.direction == Direction::Ascending { 1 } else { -1 };
                    let path = path(schema, by.column)?;
                    // The first counts where a column is named twice.
                    if !order.contains_key(&*path) {
                        order.insert(path, sign);
                    }
                }
                options.sort = (!order.is_empty()).then_some(order);
                options.limit = plan.limit.map(number).filter(|limit| *limit < i64::MAX);
                options.skip = plan.offset.map(|offset| number(offset).unsigned_abs());
                options.projection = Some(projection(schema)?);
                (options.max_time, options.collation) = (max_time, collation);
                let found = self.find(schema, wanted, options).await?;
                found.into_iter().map(|document| row(schema, document)).collect()
            }
            Ask::Count => {
                let mut options = CountOptions::default();
                (options.max_time, options.collation) = (max_time, collation);
                let count =
                    act!(self, collection.count_documents(wanted).with_options(options)).map_err(failed)?;
                Ok(vec![vec![Datum::Int(number(count))]])
            }
            Ask::Exists => {
                let mut options = FindOptions::default();
                options.limit = Some(1);
                options.projection = Some(doc! { ID: 1 });
                (options.max_time, options.collation) = (max_time, collation);
                let found = self.find(schema, wanted, options).await?;
                Ok(vec![vec![Datum::Int(i64::from(!found.is_empty()))]])
            }
            Ask::Distinct(at) => {
                let mut stages = vec![
                    doc! { "$match": wanted },
                    doc! { "$group": { ID: format!("${}", path(schema, at)?) } },
                    doc! { "$sort": { ID: 1 } },
                ];
                stages.extend(plan.offset.map(|offset| doc! { "$skip": number(offset) }));
                let limit = plan.limit.map(number).filter(|limit| *limit < i64::MAX);
                stages.extend(limit.map(|limit| doc! { "$limit": limit }));
                let mut options = AggregateOptions::default();
                (options.max_time, options.collation) = (max_time, collation);
                let found: Vec<Document> = match self.session.as_deref_mut() {
                    Some(session) => {
                        let action = collection.aggregate(stages).with_options(options);
                        let mut cursor = action.session(&mut *session).await.map_err(failed)?;
                        cursor.stream(session).try_collect().await.map_err(failed)?
                    }
                    None => {
                        let cursor =
                            collection.aggregate(stages).with_options(options).await.map_err(failed)?;
                        cursor.try_collect().await.map_err(failed)?
                    }
                };
                let ty = schema.columns.get(at).map(|def| def.ty);
                let one = |mut group: Document| {
                    value::datum(group.remove(ID).unwrap_or(Bson::Null), ty)
                        .map(|datum| vec![datum])
                        .map_err(|why| schema.error(at, crate::model::ValueError::Content(why.into())))
                };
                found.into_iter().map(one).collect()
            }
        }
    }

    async fn find(
        &mut self,
        schema: &'static Schema,
        wanted: Document,
        options: FindOptions,
    ) -> Result<Vec<Document>> {
        let failed = |error: ::mongodb::error::Error| failure::of(&error, schema);
        let collection = self.mongo.collection(schema);
        let action = collection.find(wanted).with_options(options);
        match self.session.as_deref_mut() {
            Some(session) => {
                let mut cursor = action.session(&mut *session).await.map_err(failed)?;
                cursor.stream(session).try_collect().await.map_err(failed)
            }
            None => action.await.map_err(failed)?.try_collect().await.map_err(failed),
        }
    }

    pub(super) async fn write(&mut self, plan: &WritePlan) -> Result<Written> {
        let schema = plan.schema();
        match plan {
            WritePlan::Insert { columns, rows, .. } => {
                let mut documents =
                    rows.iter().map(|row| document(schema, columns, row)).collect::<Result<Vec<_>>>()?;
                self.put_ids(schema, &mut documents).await?;
                self.insert(schema, documents).await
            }
            WritePlan::Upsert { columns, row, on, update, .. } => {
                self.upsert(schema, columns, row, on, *update).await
            }
            WritePlan::Update { filter: wanted, set, returning, .. } => {
                let (wanted, change) = (filter(schema, wanted.as_ref())?, Change::new(schema, set)?);
                if plan.id_of_one_row().is_some() {
                    return Ok(match self.change(schema, wanted, &change).await? {
                        Some(old) => Written::new(1, vec![change.applied(schema, &old)?]).with_old(vec![old]),
                        None => Written::default(),
                    });
                }
                // In a transaction they are the rows that are changed.
                let before = if *returning { self.rows(schema, wanted.clone()).await? } else { Vec::new() };
                let mut options = UpdateOptions::default();
                options.collation = self.collation();
                let collection = self.mongo.collection(schema);
                let action = collection.update_many(wanted, change.document()).with_options(options);
                let done = act!(self, action).map_err(|error| failure::of(&error, schema))?;
                let rows =
                    before.iter().map(|old| change.applied(schema, old)).collect::<Result<Vec<_>>>()?;
                Ok(Written::new(done.matched_count, rows))
            }
            WritePlan::Delete { filter: wanted, returning, .. } => {
                let wanted = filter(schema, wanted.as_ref())?;
                let failed = |error: ::mongodb::error::Error| failure::of(&error, schema);
                let collection = self.mongo.collection(schema);
                if plan.id_of_one_row().is_some() {
                    let mut options = FindOneAndDeleteOptions::default();
                    options.projection = Some(projection(schema)?);
                    (options.max_time, options.collation) =
                        (self.mongo.0.statement_timeout, self.collation());
                    let found = act!(self, collection.find_one_and_delete(wanted).with_options(options))
                        .map_err(failed)?;
                    return Ok(match found {
                        Some(found) => Written::new(1, vec![written_row(schema, found)]),
                        None => Written::default(),
                    });
                }
                let before = if *returning { self.rows(schema, wanted.clone()).await? } else { Vec::new() };
                let mut options = DeleteOptions::default();
                options.collation = self.collation();
                let done =
                    act!(self, collection.delete_many(wanted).with_options(options)).map_err(failed)?;
                Ok(Written::new(done.deleted_count, before))
            }
        }
    }

    async fn rows(&mut self, schema: &'static Schema, wanted: Document) -> Result<Vec<Row>> {
        let mut options = FindOptions::default();
        options.projection = Some(projection(schema)?);
        (options.max_time, options.collation) = (self.mongo.0.statement_timeout, self.collation());
        let found = self.find(schema, wanted, options).await?;
        Ok(found.into_iter().map(|document| written_row(schema, document)).collect())
    }

    /// Changes one row, and gives it as it was.
    async fn change(
        &mut self,
        schema: &'static Schema,
        wanted: Document,
        change: &Change,
    ) -> Result<Option<Row>> {
        let failed = |error: ::mongodb::error::Error| failure::of(&error, schema);
        let collection = self.mongo.collection(schema);
        let (max_time, collation) = (self.mongo.0.statement_timeout, self.collation());
        let found = if change.is_empty() {
            // There is nothing to set, and that is no update.
            let mut options = FindOptions::default();
            options.limit = Some(1);
            options.projection = Some(projection(schema)?);
            (options.max_time, options.collation) = (max_time, collation);
            self.find(schema, wanted, options).await?.pop()
        } else {
            let mut options = FindOneAndUpdateOptions::default();
            options.return_document = Some(ReturnDocument::Before);
            options.projection = Some(projection(schema)?);
            (options.max_time, options.collation) = (max_time, collation);
            let action = collection.find_one_and_update(wanted, change.document()).with_options(options);
            act!(self, action).map_err(failed)?
        };
        Ok(found.map(|found| written_row(schema, found)))
    }

    async fn insert(&mut self, schema: &'static Schema, documents: Vec<Document>) -> Result<Written> {
        let collection = self.mongo.collection(schema);
        let done = match <&[Document; 1]>::try_from(&documents[..]) {
            Ok([one]) => act!(self, collection.insert_one(one)).map(drop),
            Err(_) => act!(self, collection.insert_many(&documents)).map(drop),
        };
        if let Err(error) = done {
            let before = if self.session.is_some() { 0 } else { failure::inserted_before(&error) };
            let error = failure::of(&error, schema);
            return Err(if before == 0 { error } else { failure::in_part(&error, before, documents.len()) });
        }
        // There is nothing that could have changed them on their way.
        let rows = documents.into_iter().map(|document| row(schema, document)).collect::<Result<Vec<_>>>()?;
        Ok(Written::new(rows.len() as u64, rows))
    }

    /// Changes the row of a key, or inserts it, until one of both is done: in between another writer may have done the opposite.
    async fn upsert(
        &mut self,
        schema: &'static Schema,
        columns: &'static [usize],
        given: &[Datum<'static>],
        on: &'static Index,
        update: bool,
    ) -> Result<Written> {
        const TRIES: usize = 4;
        let value = |at: &usize| {
            let place = columns.iter().position(|column| column == at);
            place.and_then(|place| given.get(place)).cloned().unwrap_or(Datum::Null)
        };
        let mut inserted = document(schema, columns, given)?;
        // As they are stored: a time may lose its microseconds.
        let as_stored = row(schema, inserted.clone())?;
        let key: Vec<Condition> = on
            .columns
            .iter()
            .map(|at| (*at, as_stored.get(*at).cloned().unwrap_or(Datum::Null)))
            .map(|(at, value)| Condition::Compare(at, Comparison::Eq, value))
            .collect();
        // `NULL` is in conflict with nothing.
        let conflicts = !on.columns.iter().any(|at| value(at).is_null());
        let rest = columns.iter().filter(|at| !on.columns.contains(at) && !schema.id.columns.contains(at));
        let change = Change::new(schema, &rest.map(|at| (*at, value(at))).collect::<Vec<_>>())?;
        let mut wanted = filter(schema, Some(&Condition::All(key)))?;
        if let Some(id) = inserted.get(ID).filter(|_| on.columns != schema.id.columns) {
            // The id of a row stays as it is: one with another id is in the way, and no row to change.
            wanted = doc! { "$and": [wanted, { ID: { "$eq": id.clone() } }] };
        }
        let mut refused = None;
        for attempt in 1..=TRIES {
            if conflicts
                && update
                && let Some(old) = self.change(schema, wanted.clone(), &change).await?
            {
                let new = change.applied(schema, &old)?;
                return Ok(Written::new(1, vec![new]).with_old(vec![old]));
            }
            if let (Some(error), true) = (refused.take(), attempt > 2) {
                // Something else than the row of the key is in the way.
                return Err(error);
            }
            if !inserted.contains_key(ID) {
                self.put_ids(schema, std::slice::from_mut(&mut inserted)).await?;
            }
            match self.insert(schema, vec![inserted.clone()]).await {
                Err(error) if error.is_unique_violation() && !update => return Ok(Written::default()),
                Err(error) if error.is_unique_violation() && self.session.is_none() => refused = Some(error),
                done => return done,
            }
        }
        Err(refused.unwrap_or_else(|| {
            Error::new(ErrorKind::Busy, "other writers insert and delete the same row all the time")
                .with_model(schema.model)
        }))
    }

    /// Gives ids to documents without one, where the database makes them.
    async fn put_ids(&mut self, schema: &'static Schema, documents: &mut [Document]) -> Result<()> {
        let Some(auto) = auto(schema) else { return Ok(()) };
        let missing = documents.iter().filter(|document| !document.contains_key(ID)).count();
        if missing == 0 {
            return Ok(());
        }
        let mut next = if auto == ColumnType::ObjectId { 0 } else { self.count_up(schema, missing).await? };
        for document in documents.iter_mut().filter(|document| !document.contains_key(ID)) {
            let id = if auto == ColumnType::ObjectId {
                Bson::ObjectId(ObjectId::new())
            } else {
                next += 1;
                Bson::Int64(next)
            };
            let mut with_id = doc! { ID: id };
            with_id.extend(std::mem::take(document));
            *document = with_id;
        }
        Ok(())
    }

    /// Takes so many ids; gives the one before the first.
    ///
    /// Never within a transaction: as in other databases, ids that were taken and not used are not taken again, and nobody waits for them.
    async fn count_up(&mut self, schema: &'static Schema, count: usize) -> Result<i64> {
        let failed = |error: ::mongodb::error::Error| failure::of(&error, schema);
        let count = i64::try_from(count).unwrap_or(i64::MAX);
        let counters = self.mongo.0.database.collection::<Document>(COUNTERS);
        let mut greatest = 0;
        loop {
            let filter = doc! { ID: schema.table };
            let taken = counters
                .find_one_and_update(filter.clone(), doc! { "$inc": { "next": count } })
                .return_document(ReturnDocument::Before)
                .await
                .map_err(failed)?;
            if let Some(before) = taken {
                return Ok(match before.get("next") {
                    Some(Bson::Int32(next)) => i64::from(*next),
                    Some(Bson::Int64(next)) => *next,
                    _ => greatest,
                });
            }
            greatest = self.greatest_id(schema).await?;
            let begin = counters.update_one(filter, doc! { "$max": { "next": greatest } }).upsert(true).await;
            match begin {
                Ok(_) => {}
                // Another one began to count.
                Err(error) if failed(error.clone()).is_unique_violation() => {}
                Err(error) => return Err(failed(error)),
            }
        }
    }

    /// The greatest id in the collection; 0 where there is none.
    async fn greatest_id(&self, schema: &'static Schema) -> Result<i64> {
        let collection = self.mongo.collection(schema);
        let found = collection
            .find_one(doc! { ID: { "$gt": 0_i64 } })
            .sort(doc! { ID: -1 })
            .projection(doc! { ID: 1 })
            .await
            .map_err(|error| failure::of(&error, schema))?;
        let found = found.and_then(|mut found| value::datum(found.remove(ID)?, auto(schema)).ok());
        Ok(match found {
            Some(Datum::Int(id)) => id,
            _ => 0,
        })
    }

    /// Begins to count ids up above those that are there.
    pub(super) async fn begin_counting(&mut self, schema: &'static Schema) -> Result<()> {
        if !matches!(auto(schema), Some(ty) if ty != ColumnType::ObjectId) {
            return Ok(());
        }
        let greatest = self.greatest_id(schema).await?;
        let counters = self.mongo.0.database.collection::<Document>(COUNTERS);
        let begin = counters
            .update_one(doc! { ID: schema.table }, doc! { "$max": { "next": greatest } })
            .upsert(true)
            .await;
        match begin.map_err(|error| failure::of(&error, schema)) {
            // Another one began.
            Err(error) if error.is_unique_violation() => Ok(()),
            other => other.map(drop),
        }
    }
}

/// The type of an id that the database makes.
fn auto(schema: &'static Schema) -> Option<ColumnType> {
    let [id] = schema.id.columns else { return None };
    schema.columns.get(*id).filter(|def| def.auto).map(|def| def.ty)
}

/// The columns of the schema, and nothing else of a document.
fn projection(schema: &'static Schema) -> Result<Document> {
    let mut out = doc! { ID: 1 };
    for at in (0..schema.columns.len()).filter(|at| !schema.id.columns.contains(at)) {
        out.insert(path(schema, at)?, 1);
    }
    Ok(out)
}

/// What an update sets, as it is stored.
struct Change {
    values: Vec<(usize, Bson)>,
    set: Document,
    unset: Document,
}

impl Change {
    fn new(schema: &'static Schema, set: &[(usize, Datum<'static>)]) -> Result<Self> {
        let mut change =
            Self { values: Vec::with_capacity(set.len()), set: Document::new(), unset: Document::new() };
        for (at, datum) in set {
            if schema.id.columns.contains(at) {
                let what = "MongoDB cannot change the id of a row: insert it anew, and delete the old one";
                let name = schema.columns.get(*at).map_or(ID, |def| def.name);
                return Err(Error::new(ErrorKind::Unsupported, what)
                    .with_model(schema.model)
                    .with_column(name));
            }
            let value = stored(schema, *at, datum)?;
            if value == Bson::Null {
                change.unset.insert(path(schema, *at)?, "");
            } else {
                change.set.insert(path(schema, *at)?, value.clone());
            }
            change.values.push((*at, value));
        }
        Ok(change)
    }

    fn is_empty(&self) -> bool {
        self.values.is_empty()
    }

    fn document(&self) -> Document {
        let mut out = Document::new();
        if !self.set.is_empty() {
            out.insert("$set", self.set.clone());
        }
        if !self.unset.is_empty() {
            out.insert("$unset", self.unset.clone());
        }
        out
    }

    /// A row after it. What is set are values and nothing that MongoDB would compute.
    fn applied(&self, schema: &'static Schema, old: &Row) -> Result<Row> {
        let mut new = old.clone();
        for (at, bson) in &self.values {
            let ty = schema.columns.get(*at).map(|def| def.ty);
            let datum = value::datum(bson.clone(), ty)
                .map_err(|why| schema.error(*at, crate::model::ValueError::Content(why.into())))?;
            if let Some(slot) = new.get_mut(*at) {
                *slot = datum;
            }
        }
        Ok(new)
    }
}
