//! The one write path: run the statements, learn which rows they touched, invalidate exactly those.
//!
//! Old values come from the write's own transaction, new ones from the database, never from the program or the cache.
//! Where the rows are not known (too many, undecodable, an outcome nobody knows) both families of the model go. From the
//! moment a statement is sent, statement and invalidation run in a task of their own, so that a caller who goes away
//! leaves no stale value behind.

use std::collections::BTreeSet;

use tracing::Instrument;

use super::Engine;
use super::read::id_condition;
use crate::cache::commits::Pending;
use crate::cache::stamps::StampName;
use crate::database::{Database, Isolation, Returns, Row, Session, TxOptions, Written};
use crate::error::{Error, ErrorKind, Result};
use crate::model::{ColumnDef, Datum, Schema};
use crate::plan::filter::{Comparison, Condition};
use crate::plan::{ReadPlan, WritePlan, depends};
use crate::query::Target;
use crate::query::spec::Args;

/// With more rows than this, a write invalidates the model's families instead of each row.
const MAX_ROWS: usize = 1_000;

/// What a write touched.
#[derive(Debug)]
pub(crate) enum Touched {
    /// These names of the model.
    Names(BTreeSet<String>),
    /// Nobody knows which rows: the families of the model.
    Families,
}

impl Touched {
    pub(super) fn nothing() -> Self {
        Self::Names(BTreeSet::new())
    }

    /// The names of rows with these values, before and after the write, and that of the table unless there are none.
    fn rows(schema: &'static Schema, old: &[Row], new: &[Row]) -> Self {
        if old.len().max(new.len()) > MAX_ROWS {
            return Self::Families;
        }
        let old = if mistake!(ForgetsOld) { &[] } else { old };
        let mut names = BTreeSet::new();
        for row in old.iter().chain(new) {
            // Only canonical values have the names that readers use; a stored value that its field refuses has none.
            let keys = key_columns(schema);
            let Ok(values) = canonical_row(schema, &keys, row) else { return Self::Families };
            let mut found = Vec::new();
            depends::row_names(schema, &values, &mut found);
            names.extend(found);
        }
        if !names.is_empty() {
            names.insert(depends::table_name(schema));
        }
        Self::Names(names)
    }

    /// The names as stamps of a handle's scope.
    pub(crate) fn stamps(&self, engine: &Engine, schema: &'static Schema) -> Vec<StampName> {
        let mut stamps = match self {
            // The program ends what it has to.
            _ if schema.manual => return Vec::new(),
            Self::Names(names) if names.is_empty() => return Vec::new(),
            Self::Names(names) => engine.stamps(names),
            Self::Families => engine.stamps(&depends::everything(schema)),
        };
        // What cascades and triggers do is not seen: the whole of the models that are named.
        for touched in schema.touches() {
            stamps.extend(engine.stamps(&depends::everything(touched)));
        }
        stamps
    }
}

/// The columns whose values are part of names: those of the id, of unique constraints and of indexes.
fn key_columns(schema: &'static Schema) -> Vec<usize> {
    let mut columns: Vec<usize> = std::iter::once(&schema.id)
        .chain(schema.uniques)
        .chain(schema.indexes)
        .flat_map(|index| index.columns.iter().copied())
        .collect();
    columns.sort_unstable();
    columns.dedup();
    columns
}

/// Brings the values of some columns into the form that the fields of the model have.
pub(crate) fn canonical_values(
    schema: &'static Schema,
    columns: &[usize],
    row: &[Datum<'static>],
) -> Result<Vec<Datum<'static>>> {
    columns
        .iter()
        .map(|at| {
            let datum = row.get(*at).cloned().unwrap_or(Datum::Null);
            match schema.columns.get(*at) {
                Some(def) => (def.canonical)(datum).map_err(|error| schema.error(*at, error)),
                None => Ok(datum),
            }
        })
        .collect()
}

/// A whole row in which the given columns are canonical, and the others `NULL`.
fn canonical_row(schema: &'static Schema, columns: &[usize], row: &[Datum<'static>]) -> Result<Row> {
    let mut out: Row = vec![Datum::Null; schema.columns.len()];
    for (at, value) in columns.iter().zip(canonical_values(schema, columns, row)?) {
        if let Some(slot) = out.get_mut(*at) {
            *slot = value;
        }
    }
    Ok(out)
}

/// Whether the old values of the rows have to be read before the write.
fn needs_old(plan: &WritePlan, returns: Returns) -> bool {
    match plan {
        WritePlan::Insert { .. } => false,
        WritePlan::Upsert { .. } => !returns.old,
        WritePlan::Update { .. } | WritePlan::Delete { .. } if plan.id_of_one_row().is_none() => true,
        WritePlan::Update { .. } | WritePlan::Delete { .. } if returns.old => false,
        // What is not set stays as it was, and comes back with the row.
        WritePlan::Update { schema, set, .. } => !returns.update || sets_keys(schema, set),
        WritePlan::Delete { .. } => !returns.delete,
    }
}

/// Whether an update may change what a row is found by.
fn sets_keys(schema: &'static Schema, set: &[(usize, Datum<'static>)]) -> bool {
    let keys = key_columns(schema);
    set.iter().any(|(at, _)| keys.contains(at))
}

/// The name of a row that a write will touch, where that is known before: of an update or a delete by id, and of an upsert.
fn name_before(plan: &WritePlan) -> Option<String> {
    let (schema, index, values): (_, _, Vec<&Datum<'static>>) = match plan {
        WritePlan::Upsert { schema, columns, row, on, .. } => {
            let value = |at: &usize| row.get(columns.iter().position(|given| given == at)?);
            (schema, *on, on.columns.iter().map(value).collect::<Option<_>>()?)
        }
        plan => (&plan.schema(), &plan.schema().id, plan.id_of_one_row()?),
    };
    let canonical = index
        .columns
        .iter()
        .zip(values)
        .map(|(at, value)| (schema.columns.get(*at)?.canonical)(value.clone()).ok());
    let values: Vec<Datum<'static>> = canonical.collect::<Option<_>>()?;
    Some(depends::key_name(index, &values.iter().collect::<Vec<_>>()))
}

/// Whether a write needs a transaction of its own: it is more than one statement.
fn needs_transaction(plan: &WritePlan, database: &dyn Database) -> bool {
    let returns = database.returns();
    let reads_back = matches!(plan, WritePlan::Insert { .. }) && !returns.insert;
    let is_more = reads_back || in_parts(plan, database.max_values()) || needs_old(plan, returns);
    (is_more || may_do_a_part(plan, database)) && database.transactions()
}

/// Whether a write that fails may have done a part of what it should.
fn may_do_a_part(plan: &WritePlan, database: &dyn Database) -> bool {
    let several = match plan {
        WritePlan::Insert { rows, .. } => rows.len() > 1,
        WritePlan::Upsert { .. } => false,
        WritePlan::Update { .. } | WritePlan::Delete { .. } => plan.id_of_one_row().is_none(),
    };
    several && !database.is_atomic()
}

/// Whether a write changes rows in several statements, of which one can fail after others.
pub(super) fn in_parts(plan: &WritePlan, max_values: usize) -> bool {
    match plan {
        WritePlan::Insert { columns, rows, .. } => rows.len() > rows_per_statement(columns, max_values),
        _ => false,
    }
}

fn rows_per_statement(columns: &[usize], max_values: usize) -> usize {
    // SQLite also limits the number of rows of one VALUES by its parser's stack; 500 is far below.
    if columns.is_empty() { 1 } else { (max_values / columns.len()).clamp(1, 500) }
}

/// Whether an error of a commit says that nothing was committed.
pub(super) fn surely_refused(error: &Error) -> bool {
    use ErrorKind::{
        Busy, CheckViolation, ForeignKeyViolation, NullValue, SerializationFailure, TransactionFailed,
        UniqueViolation,
    };
    matches!(
        error.kind(),
        Busy | CheckViolation
            | ForeignKeyViolation
            | NullValue
            | SerializationFailure
            | TransactionFailed
            | UniqueViolation
    )
}

/// Whether an error leaves open what the database did. Of an answer that cannot be read, the write is done.
fn outcome_unknown(error: &Error) -> bool {
    matches!(error.kind(), ErrorKind::Connection | ErrorKind::Interrupted | ErrorKind::Decode)
}

/// Runs a write in a session that is a transaction where one is needed.
pub(crate) async fn perform(
    session: &mut (dyn Session + '_),
    plan: WritePlan,
    database: &dyn Database,
) -> Result<(Written, Touched)> {
    let (schema, returns) = (plan.schema(), database.returns());
    if !needs_old(&plan, returns) {
        return match plan {
            WritePlan::Insert { columns, rows, .. } => {
                insert(session, schema, columns, rows, database.max_values()).await
            }
            plan => {
                let written = session.write(&plan).await?;
                let touched = Touched::rows(schema, &written.old, new_rows(&written.rows));
                Ok((written, touched))
            }
        };
    }
    if !database.transactions() {
        // Nothing reads and changes several rows as one: which they were, nobody knows.
        let written = session.write(&without_rows(plan)).await?;
        let touched = if written.affected == 0 { Touched::nothing() } else { Touched::Families };
        return Ok((written, touched));
    }
    let (filter, only) = match plan {
        WritePlan::Upsert { .. } => return upsert(session, plan).await,
        WritePlan::Update { ref filter, .. } | WritePlan::Delete { ref filter, .. } => (filter.clone(), plan),
        WritePlan::Insert { .. } => (None, plan),
    };
    let old = locked_rows(session, schema, filter).await?;
    if old.is_empty() {
        return Ok((Written::default(), Touched::nothing()));
    }
    if old.len() > MAX_ROWS {
        return Ok((session.write(&without_rows(only)).await?, Touched::Families));
    }
    let new_ids = match &only {
        WritePlan::Update { set, .. } if !returns.update => Some(ids_after(schema, &old, set)),
        _ => None,
    };
    let mut written = session.write(&narrowed(only, schema, &old)).await?;
    if let Some(ids) = new_ids {
        let mut plan = ReadPlan::rows(schema, Some(id_condition(schema.id.columns, &ids)));
        plan.for_update = true;
        written.rows = session.read(&plan).await?;
        if written.rows.len() as u64 != written.affected {
            // The database made another id of one than was set.
            return Ok((written, Touched::Families));
        }
    }
    // A deleted row has no new values: those that come back are the old ones once more.
    let touched = Touched::rows(schema, &old, new_rows(&written.rows));
    Ok((written, touched))
}

/// The ids that rows have after an update.
fn ids_after(schema: &'static Schema, old: &[Row], set: &[(usize, Datum<'static>)]) -> Vec<Args<'static>> {
    let value = |row: &Row, at: &usize| {
        let set = set.iter().find(|(column, _)| column == at).map(|(_, value)| value);
        set.or(row.get(*at)).cloned().unwrap_or(Datum::Null)
    };
    old.iter().map(|row| schema.id.columns.iter().map(|at| value(row, at)).collect()).collect()
}

/// Reads the rows that a write is about to change, and locks them until the transaction ends; one more than are told apart.
async fn locked_rows(
    session: &mut (dyn Session + '_),
    schema: &'static Schema,
    filter: Option<Condition>,
) -> Result<Vec<Row>> {
    let mut plan = ReadPlan::rows(schema, filter);
    plan.limit = Some(MAX_ROWS as u64 + 1);
    plan.for_update = true;
    session.read(&plan).await
}

/// Inserts a row or updates the one that is there, and knows which of both it was.
async fn upsert(session: &mut (dyn Session + '_), plan: WritePlan) -> Result<(Written, Touched)> {
    let WritePlan::Upsert { schema, columns, row, on, .. } = plan else {
        return Err(Error::new(ErrorKind::InvalidQuery, "another write than an upsert"));
    };
    let value = |column: &usize| {
        let given = columns.iter().position(|given| given == column).and_then(|place| row.get(place));
        given.cloned().unwrap_or(Datum::Null)
    };
    let key: Vec<(usize, Datum<'static>)> =
        on.columns.iter().map(|column| (*column, value(column))).collect();
    // `NULL` is in conflict with nothing.
    let old = if key.iter().any(|(_, value)| value.is_null()) {
        Vec::new()
    } else {
        let equal = |(column, value)| Condition::Compare(column, Comparison::Eq, value);
        let filter = Condition::All(key.into_iter().map(equal).collect()).normal();
        locked_rows(session, schema, Some(filter)).await?
    };
    let upsert = |update| WritePlan::Upsert { schema, columns, row: row.clone(), on, update };
    if old.is_empty() {
        let inserted = session.write(&upsert(mistake!(UpsertAssumesInsert))).await?;
        if !inserted.rows.is_empty() {
            let touched = Touched::rows(schema, &[], &inserted.rows);
            return Ok((inserted, touched));
        }
        // A row that was not found is in the way: the constraint's equality is not ours, or it was committed meanwhile.
        return Ok((session.write(&upsert(true)).await?, Touched::Families));
    }
    let written = session.write(&upsert(true)).await?;
    let touched = Touched::rows(schema, &old, new_rows(&written.rows));
    Ok((written, touched))
}

fn new_rows(rows: &[Row]) -> &[Row] {
    if mistake!(ForgetsNew) { &[] } else { rows }
}

/// A row as the program gave it, and not as the database has it, with 0 for an id that the database counts up: for a mistake on purpose.
fn as_given<'r>(schema: &Schema, columns: impl Iterator<Item = (usize, &'r Datum<'static>)>) -> Row {
    let unset = |column: &ColumnDef| if column.auto { Datum::Int(0) } else { Datum::Null };
    let mut row: Row = schema.columns.iter().map(unset).collect();
    for (at, value) in columns {
        if let Some(slot) = row.get_mut(at) {
            slot.clone_from(value);
        }
    }
    row
}

/// The same write on exactly the rows that were read.
fn narrowed(plan: WritePlan, schema: &'static Schema, old: &[Row]) -> WritePlan {
    let narrow = |filter: Option<Condition>| -> Option<Condition> {
        if mistake!(BeyondLocked) {
            return filter;
        }
        // As they are stored, whatever the fields make of it: it is these rows that are locked.
        let id = |row: &Row| -> Args<'static> {
            schema.id.columns.iter().map(|at| row.get(*at).cloned().unwrap_or(Datum::Null)).collect()
        };
        let ids = id_condition(schema.id.columns, &old.iter().map(id).collect::<Vec<_>>());
        Some(match filter {
            Some(filter) => Condition::All(vec![ids, filter]).normal(),
            None => ids,
        })
    };
    match plan {
        WritePlan::Update { schema, filter, set, returning } => {
            WritePlan::Update { schema, filter: narrow(filter), set, returning }
        }
        WritePlan::Delete { schema, filter, returning } => {
            WritePlan::Delete { schema, filter: narrow(filter), returning }
        }
        other => other,
    }
}

/// The same write without its rows coming back, which could be any number.
fn without_rows(plan: WritePlan) -> WritePlan {
    match plan {
        WritePlan::Update { schema, filter, set, .. } => {
            WritePlan::Update { schema, filter, set, returning: false }
        }
        WritePlan::Delete { schema, filter, .. } => WritePlan::Delete { schema, filter, returning: false },
        other => other,
    }
}

async fn insert(
    session: &mut (dyn Session + '_),
    schema: &'static Schema,
    columns: &'static [usize],
    rows: Vec<Row>,
    max_values: usize,
) -> Result<(Written, Touched)> {
    let mut all = Written::default();
    let given = |row: &Row| as_given(schema, columns.iter().copied().zip(row));
    let given: Option<Vec<Row>> = mistake!(NewFromProgram).then(|| rows.iter().map(given).collect());
    let mut rows = rows.into_iter();
    loop {
        let part: Vec<Row> = rows.by_ref().take(rows_per_statement(columns, max_values)).collect();
        if part.is_empty() {
            break;
        }
        let written = session.write(&WritePlan::Insert { schema, columns, rows: part }).await?;
        all.affected += written.affected;
        all.rows.extend(written.rows);
    }
    let mut touched = Touched::rows(schema, &[], given.as_ref().unwrap_or(&all.rows));
    if let (Touched::Names(names), true) = (&mut touched, mistake!(ForgetsNegatives)) {
        names.retain(|name| !name.starts_with("k:"));
    }
    Ok((all, touched))
}

/// Runs a write where it belongs: in the transaction it was given, or by itself, followed by its invalidation.
pub(crate) async fn write(on: Target<'_>, plan: WritePlan, query: &'static str) -> Result<Written> {
    let schema = plan.schema();
    on.engine().check_open()?;
    let span = tracing::debug_span!("pie.write", model = schema.model, query);
    let written = async {
        match on {
            Target::Tx(tx) => tx.write(plan).await,
            Target::Engine(engine) => engine.clone().write_alone(plan).await,
        }
    };
    let written = written.instrument(span).await;
    written.map_err(|error| error.with_query(query).with_model(schema.model))
}

/// Waits for a task that must not be stopped half-way.
pub(crate) async fn in_task<T: Send + 'static>(
    work: impl Future<Output = Result<T>> + Send + 'static,
) -> Result<T> {
    match tokio::spawn(work.in_current_span()).await {
        Ok(result) => result,
        Err(_) => {
            Err(Error::new(ErrorKind::Interrupted, "the task of a write was stopped: the runtime shut down"))
        }
    }
}

impl Engine {
    async fn write_alone(self, plan: WritePlan) -> Result<Written> {
        let schema = plan.schema();
        let running = self.chain().tasks.start();
        in_task(async move {
            let mut pending = None;
            let (result, touched) = self.run_statements(plan, &mut pending).await;
            self.chain().settle(pending, &touched.stamps(&self, schema)).await;
            drop(running);
            result
        })
        .await
    }

    /// Runs the statements of a write, and tells what they touched, also when they failed. Before it may be permanent it is pending, where it
    /// may take a row away from what names it.
    async fn run_statements(
        &self,
        plan: WritePlan,
        pending: &mut Option<Pending>,
    ) -> (Result<Written>, Touched) {
        let (schema, database) = (plan.schema(), self.database());
        let in_part = may_do_a_part(&plan, database);
        let outcome = if needs_transaction(&plan, database) {
            // What counts is locked when it is read.
            let options = TxOptions::new().isolation(Isolation::ReadCommitted);
            let mut transaction = match database.begin(options).await {
                Ok(transaction) => transaction,
                Err(error) => return (Err(error), Touched::nothing()),
            };
            match perform(&mut *transaction, plan, database).await {
                Ok((written, touched)) => {
                    *pending = Some(self.chain().pending(&touched.stamps(self, schema)));
                    return match transaction.commit().await {
                        Ok(()) => (Ok(written), touched),
                        Err(error) if surely_refused(&error) => (Err(error), Touched::nothing()),
                        // Nobody knows: the names go as if it had been committed.
                        Err(error) => (Err(error), touched),
                    };
                }
                Err(error) => {
                    // Rolled back by the database if this cannot.
                    let _ = transaction.rollback().await;
                    return (Err(error), Touched::nothing());
                }
            }
        } else {
            let takes_away = matches!(plan, WritePlan::Delete { .. }) || database.returns().old;
            if let Some(name) = name_before(&plan)
                && takes_away
            {
                // With the table, for those that wrote nobody knows which of its rows.
                let names = [name, depends::table_name(schema)];
                *pending = Some(self.chain().pending(&self.stamps(&names)));
            } else if in_part && !matches!(plan, WritePlan::Insert { .. }) {
                *pending = Some(self.chain().pending(&Touched::Families.stamps(self, schema)));
            }
            perform(&mut *database.session(), plan, database).await
        };
        match outcome {
            Ok((written, touched)) => (Ok(written), touched),
            Err(error) if in_part || outcome_unknown(&error) => (Err(error), Touched::Families),
            Err(error) => (Err(error), Touched::nothing()),
        }
    }
}
