//! Random writes of any model, and how they are done: by pie, in a savepoint, or past it.

use fastrand::Rng;

use super::question::{Raw, Values, condition, of, show, show_condition, values_of};
use super::random::{COLUMNS, Kind, RandomId, Randomly, by_kind};
use crate::__private as api;
use crate::engine::Engine;
use crate::error::{Error, Result};
use crate::model::{Column, Datum, Index, Model, NewRow, Value};
use crate::plan::WritePlan;
use crate::plan::filter::{Comparison, Condition};
use crate::query::{Delete, Handle, Update};
use crate::{ErrorKind, Tx};

type Set = Vec<(usize, Datum<'static>)>;

#[derive(Debug, Clone)]
pub(super) enum Write {
    Insert(Vec<Values>),
    /// On the id, or on a unique constraint.
    Upsert(Option<usize>, Values),
    Update(Values, Set),
    UpdateWhere(Condition, Set),
    Delete(Values),
    DeleteWhere(Condition),
    /// By a statement of the program's own, which says what it touches, or does not.
    Sql(usize, Datum<'static>, bool),
}

impl Write {
    pub(super) fn draw<M: Randomly>(rng: &mut Rng) -> Self {
        let given = <M::New as NewRow>::COLUMNS;
        let schema = M::SCHEMA;
        let set = |rng: &mut Rng| -> Set {
            let mut set = Set::new();
            for _ in 0..rng.usize(1..3) {
                // The id as well, now and then.
                let at = if rng.u8(..8) == 0 { 0 } else { rng.usize(1..COLUMNS) };
                if set.iter().all(|(other, _)| *other != at) {
                    set.push((at, M::kind(at).value(rng)));
                }
            }
            set
        };
        let id = |rng: &mut Rng| values_of::<M>(schema.id.columns, rng);
        match rng.u8(..32) {
            0..=8 => Self::Insert(vec![values_of::<M>(given, rng)]),
            9 | 10 => Self::Insert((0..rng.usize(1..4)).map(|_| values_of::<M>(given, rng)).collect()),
            11..=15 => {
                let mut places: Vec<Option<usize>> = (0..schema.uniques.len()).map(Some).collect();
                // The columns of a constraint that is the target have to be given. (SQLite finds no constraint with its own row number in
                // it; beside the id alone no other column is needed to be unique.)
                let with_id = |columns: &[usize]| schema.id.columns == [0] && columns.contains(&0);
                places.retain(|at| {
                    let columns = at.map_or(schema.id.columns, |at| schema.uniques[at].columns);
                    columns.iter().all(|column| given.contains(column)) && !with_id(columns)
                });
                if given.contains(&0) {
                    places.push(None);
                }
                match places.len() {
                    0 => Self::Insert(vec![values_of::<M>(given, rng)]),
                    count => Self::Upsert(places[rng.usize(..count)], values_of::<M>(given, rng)),
                }
            }
            16..=22 => Self::Update(id(rng), set(rng)),
            23..=25 => Self::UpdateWhere(condition::<M>(rng, 1), set(rng)),
            26..=29 => Self::Delete(id(rng)),
            30 => Self::DeleteWhere(condition::<M>(rng, 1)),
            _ => {
                let at = rng.usize(..COLUMNS);
                Self::Sql(at, M::kind(at).value(rng), rng.u8(..4) > 0)
            }
        }
    }

    pub(super) fn show(&self) -> String {
        let set = |set: &Set| {
            set.iter()
                .map(|(at, value)| format!("{at} := {}", show(std::slice::from_ref(value))))
                .collect::<String>()
        };
        match self {
            Self::Insert(rows) => {
                format!("insert {}", rows.iter().map(|row| show(row)).collect::<Vec<_>>().join("; "))
            }
            Self::Upsert(on, row) => format!("upsert on {on:?}: {}", show(row)),
            Self::Update(id, to) => format!("update {}: {}", show(id), set(to)),
            Self::UpdateWhere(condition, to) => {
                format!("update where {}: {}", show_condition(condition), set(to))
            }
            Self::Delete(id) => format!("delete {}", show(id)),
            Self::DeleteWhere(condition) => format!("delete where {}", show_condition(condition)),
            Self::Sql(at, value, says) => {
                format!("sql delete {at} = {} {says}", show(std::slice::from_ref(value)))
            }
        }
    }

    /// Does it; a constraint that refuses it is a right answer.
    pub(super) async fn run<M: Randomly>(&self, on: &impl Handle) -> Result<()> {
        match self.attempt::<M>(on).await {
            Err(error) if error.is_unique_violation() => Ok(()),
            // MongoDB changes no id.
            Err(error) if error.kind() == ErrorKind::Unsupported => Ok(()),
            other => other,
        }
    }

    /// The same in a savepoint, which is undone if a constraint refuses it.
    pub(super) async fn run_in_part<M: Randomly>(&self, tx: &Tx) -> Result<()> {
        let part = tx.savepoint().await?;
        match self.attempt::<M>(&part).await {
            Ok(()) => part.commit().await,
            Err(error) if error.is_unique_violation() => part.rollback().await,
            Err(error) => Err(error),
        }
    }

    pub(super) async fn attempt<M: Randomly>(&self, on: &impl Handle) -> Result<()> {
        let schema = M::SCHEMA;
        match self {
            Self::Insert(rows) if rows.len() == 1 => {
                api::insert::<M>(on, M::new(rows[0].clone())).await.map(drop)
            }
            Self::Insert(rows) => api::insert_many::<M>(on, rows.iter().cloned().map(M::new)).await.map(drop),
            Self::Upsert(at, row) => {
                let index: &'static Index = at.map_or(&schema.id, |at| &schema.uniques[at]);
                api::upsert::<M>(on, index, M::new(row.clone())).await.map(drop)
            }
            Self::Update(id, set) => {
                let mut update = api::update::<M>(on, id.iter().cloned().collect());
                for (at, value) in set {
                    update = update.set(*at, value.clone());
                }
                update.await.map(drop)
            }
            Self::UpdateWhere(condition, set) => {
                let mut update: Update<'_, M> = of::<M>(on, condition).update();
                for (at, value) in set {
                    let value = value.clone();
                    update = by_kind!(M::kind(*at), T => {
                        let value = T::from_datum(value).map_err(|error| schema.error(*at, error))?;
                        update.set(Column::<M, T>::new(*at, ""), value)
                    });
                }
                update.await.map(drop)
            }
            Self::Delete(id) => api::delete::<M>(on, id.iter().cloned().collect()).await.map(drop),
            Self::DeleteWhere(condition) => {
                let delete: Delete<'_, M> = of::<M>(on, condition).delete();
                delete.await.map(drop)
            }
            Self::Sql(at, value, says) => {
                #[cfg(feature = "mongodb")]
                if on.target().engine().database().name() == "MongoDB" {
                    let equal = Condition::Compare(*at, Comparison::Eq, value.clone()).normal();
                    let command = crate::database::mongo::delete_command(schema, &equal)?;
                    let command = match on.target() {
                        crate::query::Target::Tx(tx) => tx.command(command),
                        crate::query::Target::Engine(engine) => engine.command(command),
                    };
                    let command = if *says { command.touches::<(M,)>() } else { command };
                    return command.execute().await.map(drop);
                }
                let name = schema.columns[*at].name;
                let text = match on.target().engine().database().name() {
                    "PostgreSQL" => format!("DELETE FROM rows WHERE \"{name}\" IS NOT DISTINCT FROM $1"),
                    "MariaDB" => format!("DELETE FROM `rows` WHERE `{name}` <=> ?"),
                    _ => format!("DELETE FROM rows WHERE \"{name}\" IS ?"),
                };
                let sql = match on.target() {
                    crate::query::Target::Tx(tx) => tx.sql(&text),
                    crate::query::Target::Engine(engine) => engine.sql(&text),
                };
                let sql = sql.bind(Raw(value.clone()));
                let sql = if *says { sql.touches::<(M,)>() } else { sql };
                sql.execute().await.map(drop)
            }
        }
    }

    /// The same past pie, as another program would; then the ids that it wrote, if they are known.
    pub(super) async fn run_elsewhere<M: Randomly>(&self, engine: &Engine) -> Result<Option<Vec<RandomId>>> {
        let schema = M::SCHEMA;
        let plan = match self {
            Self::Insert(rows) => {
                WritePlan::Insert { schema, columns: <M::New as NewRow>::COLUMNS, rows: rows.clone() }
            }
            Self::Update(_, set) | Self::UpdateWhere(_, set) => {
                let set: Set =
                    set.iter().filter(|(at, _)| !schema.id.columns.contains(at)).cloned().collect();
                if set.is_empty() {
                    return Ok(Some(Vec::new()));
                }
                WritePlan::Update { schema, filter: self.filter::<M>(), set, returning: true }
            }
            Self::Delete(_) | Self::DeleteWhere(_) => {
                WritePlan::Delete { schema, filter: self.filter::<M>(), returning: true }
            }
            Self::Upsert(..) | Self::Sql(..) => return Ok(Some(Vec::new())),
        };
        let rows = match engine.database().session().write(&plan).await {
            Ok(written) => written.rows,
            // Some rows may have been written before the one that is refused.
            Err(error) if error.is_unique_violation() => {
                return Ok(engine.database().is_atomic().then(Vec::new));
            }
            Err(error) => return Err(error),
        };
        let id = |row: Values| -> Result<RandomId> {
            let value = |at: &usize| {
                (schema.columns[*at].canonical)(row[*at].clone())
                    .map_err(|_| Error::new(ErrorKind::Decode, "an id that cannot be read"))
            };
            schema.id.columns.iter().map(value).collect::<Result<_>>().map(RandomId)
        };
        rows.into_iter().map(id).collect::<Result<_>>().map(Some)
    }

    fn filter<M: Model>(&self) -> Option<Condition> {
        let of_id = |id: &Values| {
            let columns = M::SCHEMA.id.columns.iter();
            Condition::All(
                columns
                    .zip(id)
                    .map(|(at, value)| Condition::Compare(*at, Comparison::Eq, value.clone()))
                    .collect(),
            )
            .normal()
        };
        match self {
            Self::Update(id, _) | Self::Delete(id) => Some(of_id(id)),
            Self::UpdateWhere(condition, _) | Self::DeleteWhere(condition) => {
                Some(condition.clone().normal())
            }
            _ => None,
        }
    }
}
