//! The typed errors of what MongoDB and its driver say. Their messages quote values; the codes and the names of indexes do not.

use ::mongodb::bson::{Bson, Document};
use ::mongodb::error::{
    Error as DriverError, ErrorKind as Driver, TRANSIENT_TRANSACTION_ERROR, WriteFailure,
};

use crate::database::refusal::Refusal;
use crate::error::{Error, ErrorKind};
use crate::model::Schema;

/// The error of a call about this model.
pub(super) fn of(error: &DriverError, schema: &'static Schema) -> Error {
    failure(error, Some(schema)).with_model(schema.model)
}

/// The error of a call.
pub(super) fn failure(error: &DriverError, schema: Option<&'static Schema>) -> Error {
    let code = match &*error.kind {
        Driver::Command(refused) => Some((refused.code, &refused.message)),
        Driver::Write(WriteFailure::WriteError(refused)) => Some((refused.code, &refused.message)),
        Driver::InsertMany(refused) => {
            refused.write_errors.iter().flatten().next().map(|refused| (refused.code, &refused.message))
        }
        _ => None,
    };
    if let Some((code, message)) = code {
        let transient = error.contains_label(TRANSIENT_TRANSACTION_ERROR);
        return refused(code, message, key_of(error), transient, schema);
    }
    let (kind, message): (ErrorKind, &'static str) = match &*error.kind {
        Driver::Io(source) => {
            let message = "the MongoDB server cannot be reached, or went away";
            return Error::new(ErrorKind::Connection, message)
                .with_source(std::io::Error::from(source.kind()));
        }
        // Done by one server, and it may be taken back: nobody knows.
        Driver::Write(WriteFailure::WriteConcernError(_)) | Driver::InsertMany(_) => {
            (ErrorKind::Connection, "the write was not confirmed by as many servers as were asked for")
        }
        Driver::Authentication { .. } => (ErrorKind::Connection, "MongoDB refused the credentials"),
        Driver::ServerSelection { .. } | Driver::DnsResolve { .. } => {
            (ErrorKind::Connection, "no MongoDB server can be reached")
        }
        Driver::ConnectionPoolCleared { .. } | Driver::InvalidResponse { .. } => {
            (ErrorKind::Connection, "the connection to the MongoDB server broke")
        }
        Driver::InvalidTlsConfig { .. } => (ErrorKind::Connection, "no TLS connection to the MongoDB server"),
        Driver::IncompatibleServer { .. } => {
            (ErrorKind::Connection, "the server speaks another version of MongoDB's protocol")
        }
        Driver::SessionsNotSupported | Driver::Transaction { .. } => {
            (ErrorKind::Unsupported, "this MongoDB server has no transactions")
        }
        Driver::Shutdown => (ErrorKind::Closed, "the engine was closed"),
        Driver::InvalidArgument { .. } | Driver::BsonSerialization(_) => {
            (ErrorKind::InvalidValue, "a document that MongoDB does not take: one has 16 MiB at most")
        }
        Driver::BsonDeserialization(_) | Driver::Bson(_) => {
            (ErrorKind::Decode, "an answer of MongoDB cannot be read")
        }
        _ => (ErrorKind::Database, "the call of MongoDB failed"),
    };
    Error::new(kind, message)
}

fn refused(
    code: i32,
    message: &str,
    key: Option<Document>,
    transient: bool,
    schema: Option<&'static Schema>,
) -> Error {
    let (kind, what): (ErrorKind, &'static str) = match code {
        11_000 | 11_001 | 12_582 => (ErrorKind::UniqueViolation, "a row with this value exists already"),
        50 | 262 => (ErrorKind::Timeout, "the call took longer than its limit"),
        112 | 251 | 246 => {
            (ErrorKind::SerializationFailure, "the write is in conflict with another transaction")
        }
        _ if transient => {
            (ErrorKind::SerializationFailure, "the transaction is in conflict with another one")
        }
        121 => (ErrorKind::CheckViolation, "the collection's validator refused the document"),
        2 | 51_091 | 51_108 if message.contains("egular") || message.contains("egex") => {
            (ErrorKind::InvalidQuery, "a regular expression that MongoDB does not understand")
        }
        10_334 | 17_419 | 17_420 | 17_280 => {
            (ErrorKind::InvalidValue, "a document or a key of an index is larger than MongoDB takes")
        }
        66 => (ErrorKind::Unsupported, "MongoDB cannot change the id of a row: insert it anew"),
        20 | 263 | 303 => (ErrorKind::Unsupported, "this MongoDB server has no transactions"),
        59 | 115 | 238 | 40_324 => (ErrorKind::Unsupported, "this MongoDB server does not know the command"),
        13 | 18 | 8_000 => {
            (ErrorKind::Connection, "MongoDB refused the credentials, or they do not allow it")
        }
        6 | 7 | 89 | 91 | 189 | 9_001 | 10_107 | 11_600 | 11_602 | 13_435 | 13_436 => {
            (ErrorKind::Connection, "the MongoDB server went away, or is not the primary any more")
        }
        _ => (ErrorKind::Database, "MongoDB refused the call"),
    };
    let index = index_in(message);
    let column = key.and_then(|key| columns_of(&key, schema));
    let column = column.or_else(|| columns_of_index(index?, schema?));
    let column = column.or_else(|| columns_of(&keys_in(message)?, schema));
    let error = Error::new(kind, what)
        .with_source(Refusal { code: code.to_string(), constraint: index.map(str::to_owned) });
    match column.filter(|_| kind == ErrorKind::UniqueViolation) {
        Some(column) => error.with_column(column),
        None => error,
    }
}

/// The keys of the index that refused a value, as newer servers say them.
fn key_of(error: &DriverError) -> Option<Document> {
    let response: Document = error.server_response()?.as_ref().try_into().ok()?;
    let from = |document: &Document| document.get_document("keyPattern").ok().cloned();
    from(&response).or_else(|| match response.get_array("writeErrors").ok()?.first()? {
        Bson::Document(first) => from(first),
        _ => None,
    })
}

/// The name of the index in a message: `… index: users_email_unique dup key: …`.
fn index_in(message: &str) -> Option<&str> {
    let name = message.split_once("index: ")?.1.split(' ').next()?;
    Some(name.rsplit('$').next().unwrap_or(name))
}

/// The names of the keys in a message that ends with `dup key: { email: … }`, where there is one.
fn keys_in(message: &str) -> Option<Document> {
    let inside = message.split_once("dup key: { ")?.1;
    let name = inside.split_once(':')?.0.trim();
    (!name.is_empty()).then(|| Document::from_iter([(name.to_owned(), Bson::Int32(1))]))
}

fn columns_of(key: &Document, schema: Option<&'static Schema>) -> Option<String> {
    let Some(schema) = schema else { return key.keys().next().cloned() };
    let mut names: Vec<&str> = Vec::new();
    for path in key.keys() {
        if path == super::value::ID {
            names.extend(
                schema.id.columns.iter().filter_map(|at| schema.columns.get(*at)).map(|def| def.name),
            );
        } else {
            names.push(path.strip_prefix("_id.").unwrap_or(path));
        }
    }
    // A message shows the first name only.
    names.iter().all(|name| schema.position(name).is_some()).then(|| names.join(", "))
}

fn columns_of_index(index: &str, schema: &'static Schema) -> Option<String> {
    let ours = |unique: &&crate::model::Index| index == format!("{}_{}_unique", schema.table, unique.name);
    let columns = match schema.uniques.iter().find(ours) {
        Some(unique) => unique.columns,
        None if index.starts_with("_id") => schema.id.columns,
        None => return None,
    };
    let names = columns.iter().filter_map(|at| schema.columns.get(*at)).map(|def| def.name);
    Some(names.collect::<Vec<_>>().join(", "))
}

/// The error of a refusal that is part of an answer.
pub(super) fn refusal(code: i32, message: &str) -> Error {
    refused(code, message, None, false, None)
}

/// How many documents were inserted before the one that was refused.
pub(super) fn inserted_before(error: &DriverError) -> usize {
    match &*error.kind {
        Driver::InsertMany(refused) => {
            let first = refused.write_errors.iter().flatten().next();
            first.map_or(0, |refused| refused.index)
        }
        _ => 0,
    }
}

/// The error of an insert of several rows, some of which were inserted.
pub(super) fn in_part(error: &Error, before: usize, of: usize) -> Error {
    let which = match before {
        1 => format!("the first of {of} rows was"),
        before => format!("the first {before} of {of} rows were"),
    };
    error.with_message(|message| {
        format!("{message}; {which} inserted, and there is no transaction to undo it")
    })
}
