//! Commands in MongoDB's own language: the way around the models.

use std::fmt;

use ::mongodb::bson::{Bson, Document};
use futures_util::TryStreamExt;

use super::call::Call;
use super::failure::{failure, refusal};
use super::value::{ID, datum};
use crate::database::{RawRows, Row};
use crate::error::{Error, ErrorKind, Result};
use crate::model::Datum;

/// A command of MongoDB's, such as `doc! { "find": "users", "filter": { "age": { "$gt": 18 } } }`.
#[derive(Clone, PartialEq)]
pub struct Command(Document);

impl fmt::Debug for Command {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // The rest may have values.
        f.debug_tuple("Command").field(&self.name()).finish()
    }
}

impl From<Document> for Command {
    fn from(document: Document) -> Self {
        Self(document)
    }
}

impl Command {
    /// Its name: the first key.
    #[must_use]
    pub fn name(&self) -> &str {
        self.0.keys().next().map_or("", String::as_str)
    }

    /// The command as a document.
    #[must_use]
    pub fn document(&self) -> &Document {
        &self.0
    }

    /// Whether it changes nothing. Cautious: what is not plainly a read counts as a write.
    #[must_use]
    pub fn reads(&self) -> bool {
        const READS: [&str; 9] = [
            "find",
            "count",
            "distinct",
            "listIndexes",
            "listCollections",
            "ping",
            "explain",
            "dbStats",
            "collStats",
        ];
        match self.name() {
            "aggregate" => self.0.get_array("pipeline").is_ok_and(|stages| {
                let writes = |stage: &Bson| {
                    stage
                        .as_document()
                        .is_none_or(|stage| stage.contains_key("$out") || stage.contains_key("$merge"))
                };
                !stages.iter().any(writes)
            }),
            name => READS.contains(&name),
        }
    }

    /// Whether its answer is a cursor.
    fn has_cursor(&self) -> bool {
        matches!(self.name(), "find" | "aggregate" | "listIndexes" | "listCollections")
    }
}

impl Call<'_> {
    /// Runs a command and gives the documents that it answers with.
    pub(super) async fn command(&mut self, command: &Command) -> Result<RawRows> {
        let failed = |error: ::mongodb::error::Error| failure(&error, None);
        let mut document = command.document().clone();
        if command.name() == "aggregate" && !document.contains_key("cursor") {
            document.insert("cursor", Document::new());
        }
        let (database, cursor) = (self.mongo.database().clone(), command.has_cursor());
        let (mut documents, mut answer) = (Vec::new(), Document::new());
        match self.session.as_deref_mut() {
            Some(session) if cursor => {
                let mut found =
                    database.run_cursor_command(document).session(&mut *session).await.map_err(failed)?;
                documents = found.stream(session).try_collect().await.map_err(failed)?;
            }
            None if cursor => {
                let found = database.run_cursor_command(document).await.map_err(failed)?;
                documents = found.try_collect().await.map_err(failed)?;
            }
            Some(session) => {
                answer = database.run_command(document).session(session).await.map_err(failed)?
            }
            None => answer = database.run_command(document).await.map_err(failed)?,
        }
        if let Some(error) = refused(&answer) {
            return Err(error);
        }
        let number = |answer: &Document, key: &str| match answer.get(key) {
            Some(Bson::Int32(n)) => u64::try_from(*n).ok(),
            Some(Bson::Int64(n)) => u64::try_from(*n).ok(),
            #[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "a count")]
            Some(Bson::Double(n)) => Some(*n as u64),
            _ => None,
        };
        let affected = match command.name() {
            _ if cursor => 0,
            "findAndModify" | "findandmodify" => {
                answer.get_document("lastErrorObject").ok().and_then(|last| number(last, "n")).unwrap_or(0)
            }
            "count" | "distinct" => 0,
            _ => number(&answer, "n").unwrap_or(0),
        };
        let documents = match command.name() {
            _ if cursor => documents,
            "findAndModify" | "findandmodify" => match answer.remove("value") {
                Some(Bson::Document(found)) => vec![found],
                _ => Vec::new(),
            },
            "count" => {
                vec![Document::from_iter([("n".to_owned(), answer.remove("n").unwrap_or(Bson::Null))])]
            }
            "distinct" => match answer.remove("values") {
                Some(Bson::Array(values)) => values
                    .into_iter()
                    .map(|value| Document::from_iter([("value".to_owned(), value)]))
                    .collect(),
                _ => Vec::new(),
            },
            _ if command.reads() => vec![answer],
            _ => Vec::new(),
        };
        let mut rows = rows(documents)?;
        rows.affected = affected;
        Ok(rows)
    }
}

/// The error of a command that was run, and some of whose writes were refused.
fn refused(answer: &Document) -> Option<Error> {
    let first = answer.get_array("writeErrors").ok()?.first()?.as_document()?;
    let code = first.get_i32("code").unwrap_or_default();
    let message = first.get_str("errmsg").unwrap_or_default();
    Some(refusal(code, message))
}

/// Documents as rows: a column for every name in any of them, in the order in which they come up; the parts of an `_id` that is a document
/// are columns, too.
fn rows(documents: Vec<Document>) -> Result<RawRows> {
    let mut names: Vec<String> = Vec::new();
    let mut flat: Vec<Vec<(usize, Bson)>> = Vec::with_capacity(documents.len());
    for document in documents {
        let mut row = Vec::with_capacity(document.len());
        let mut put = |name: String, value: Bson| {
            let at = names.iter().position(|known| *known == name).unwrap_or_else(|| {
                names.push(name);
                names.len() - 1
            });
            row.push((at, value));
        };
        for (name, value) in document {
            match value {
                Bson::Document(parts) if name == ID => {
                    parts.into_iter().for_each(|(part, value)| put(format!("{ID}.{part}"), value));
                }
                value => put(name, value),
            }
        }
        flat.push(row);
    }
    let mut out: Vec<Row> = Vec::with_capacity(flat.len());
    for values in flat {
        let mut row: Row = vec![Datum::Null; names.len()];
        for (at, value) in values {
            let read = datum(value, None).map_err(|why| {
                Error::new(ErrorKind::Decode, format!("a field of the answer {why}"))
                    .with_column(names.get(at).cloned().unwrap_or_default())
            })?;
            if let Some(slot) = row.get_mut(at) {
                *slot = read;
            }
        }
        out.push(row);
    }
    let mut rows = RawRows::new(names, out, 0);
    rows.documents = true;
    Ok(rows)
}
