//! JSON in a column: any serde type as text.

use std::borrow::Cow;

use serde::Serialize;
use serde::de::DeserializeOwned;

use super::fingerprint::fingerprint;
use super::value::{ColumnType, Datum, Value, ValueError, wrong};
use super::{ColumnFacts, HeapSize};

/// A serde value as JSON text in a column: the type behind `#[pie(json)]` fields.
///
/// A value whose JSON is `null` is stored as SQL `NULL`, and `NULL` is read as JSON `null`. So `None` is `NULL`, and
/// the column may be `NULL` also for types that are no `Option`; those refuse it when they are read.
#[derive(Debug, Clone, PartialEq)]
pub struct Json<T>(pub T);

impl<T: Serialize> Json<T> {
    /// The JSON text of a serde value as a datum.
    ///
    /// # Errors
    /// The type's own `Serialize` refused, for example a map with keys that are not text.
    pub fn datum(value: &T) -> Result<Datum<'static>, ValueError> {
        let text = serde_json::to_string(value)
            .map_err(|_| ValueError::Content("could not be written as JSON by its `Serialize`".into()))?;
        Ok(if text == "null" { Datum::Null } else { Datum::Json(Cow::Owned(text)) })
    }

    /// How many bytes the JSON text of a serde value has.
    pub fn text_bytes(value: &T) -> usize {
        struct Count(usize);
        impl std::io::Write for Count {
            fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
                self.0 += bytes.len();
                Ok(bytes.len())
            }
            fn flush(&mut self) -> std::io::Result<()> {
                Ok(())
            }
        }
        let mut count = Count(0);
        match serde_json::to_writer(&mut count, value) {
            Ok(()) | Err(_) => count.0,
        }
    }
}

impl<T: DeserializeOwned> Json<T> {
    /// The serde value of a datum that holds JSON text.
    ///
    /// # Errors
    /// Another kind of datum, or text that the type's `Deserialize` refuses.
    pub fn read(datum: &Datum<'static>) -> Result<T, ValueError> {
        let text = match datum {
            Datum::Null => "null",
            Datum::Text(text) | Datum::Json(text) => text.as_ref(),
            other => return Err(wrong("JSON text", other)),
        };
        serde_json::from_str(text).map_err(|error| {
            // serde's sentence may quote the value, its position does not.
            let (line, column) = (error.line(), error.column());
            ValueError::Content(
                format!("holds JSON that does not fit the field's type (line {line}, column {column})")
                    .into(),
            )
        })
    }
}

/// A type that `#[pie(json)]` can put into a column: any that serde writes and reads.
#[diagnostic::on_unimplemented(
    message = "`{Self}` cannot be stored as JSON",
    label = "not a serde type",
    note = "write `#[derive(Clone, serde::Serialize, serde::Deserialize)]` on it"
)]
pub trait JsonField: Sized {
    /// What a column of the type has.
    #[doc(hidden)]
    const FACTS: ColumnFacts;
    #[doc(hidden)]
    #[allow(missing_docs)]
    fn from_datum(datum: Datum<'static>) -> Result<Self, ValueError>;
    #[doc(hidden)]
    #[allow(missing_docs)]
    fn to_datum(&self) -> Result<Datum<'static>, ValueError>;
    #[doc(hidden)]
    #[allow(missing_docs)]
    fn heap_bytes(&self) -> usize;
}

#[diagnostic::do_not_recommend]
impl<T: Serialize + DeserializeOwned + Clone + Send + Sync + 'static> JsonField for T {
    const FACTS: ColumnFacts = ColumnFacts::of::<Json<T>>();

    fn from_datum(datum: Datum<'static>) -> Result<Self, ValueError> {
        Json::read(&datum)
    }

    fn to_datum(&self) -> Result<Datum<'static>, ValueError> {
        Json::datum(self)
    }

    fn heap_bytes(&self) -> usize {
        Json::text_bytes(self)
    }
}

/// As large as its JSON: nothing else is known of a type of serde.
impl<T: Serialize> HeapSize for Json<T> {
    fn heap_size(&self) -> usize {
        Json::text_bytes(&self.0)
    }
}

impl<T: Serialize + DeserializeOwned + Clone + Send + Sync + 'static> Value for Json<T> {
    const TYPE: ColumnType = ColumnType::Json;
    const NULLABLE: bool = true;
    const SHAPE: u64 = fingerprint("Json");

    fn to_datum(&self) -> Datum<'_> {
        // Only filters come here (a row uses `Json::datum` and its error); an unwritable value equals nothing.
        Self::datum(&self.0).unwrap_or(Datum::Null)
    }

    fn from_datum(datum: Datum<'static>) -> Result<Self, ValueError> {
        Self::read(&datum).map(Json)
    }

    fn heap_bytes(&self) -> usize {
        self.heap_size()
    }
}

impl Value for serde_json::Value {
    const TYPE: ColumnType = ColumnType::Json;
    const NULLABLE: bool = true;
    const SHAPE: u64 = fingerprint("serde_json::Value");

    fn heap_bytes(&self) -> usize {
        self.heap_size()
    }

    fn to_datum(&self) -> Datum<'_> {
        if self.is_null() { Datum::Null } else { Datum::Json(Cow::Owned(self.to_string())) }
    }

    fn from_datum(datum: Datum<'static>) -> Result<Self, ValueError> {
        Json::read(&datum)
    }
}
