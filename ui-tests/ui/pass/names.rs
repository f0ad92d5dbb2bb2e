//! Fields whose names the generated code uses as well, raw identifiers, and types that shadow the usual ones.
#![deny(warnings, missing_docs, unused, clippy::pedantic)]
#![no_implicit_prelude]

/// A type of one's own with a usual name.
#[allow(dead_code)]
pub struct Option;
/// Another one.
#[allow(dead_code)]
pub struct Result;
/// And another one.
#[allow(dead_code)]
pub struct Vec;
/// A module of one's own with a usual name.
#[allow(dead_code)]
pub mod std {}

/// A model with awkward names.
#[derive(::pie::Model)]
#[::pie::cached(ttl = "5m")]
#[pie(unique(on, key), index(engine, r#type))]
pub struct Thing {
    /// The id.
    #[pie(id)]
    pub key: i64,
    /// A field.
    #[pie(unique)]
    pub on: i64,
    /// A field.
    #[pie(index)]
    pub row: i64,
    /// A field.
    pub engine: i64,
    /// A field.
    #[pie(index)]
    pub r#type: i64,
    /// A field.
    pub column: i64,
    /// A field.
    pub value: i64,
    /// A field.
    pub ids: i64,
    /// A field.
    pub new: i64,
    /// A field.
    pub schema: i64,
    /// A field.
    pub into_future: i64,
}

/// Uses what was generated.
pub async fn run(engine: &::pie::Engine) -> ::core::result::Result<(), ::pie::Error> {
    let new = NewThing {
        key: 1, on: 1, row: 1, engine: 1, r#type: 1, column: 1, value: 1, ids: 1, new: 1, schema: 1, into_future: 1,
    };
    Thing::upsert_by_on_and_key(engine, new).await?;
    Thing::find_by_on(engine, 1).await?;
    Thing::list_by_type(engine, 1).await?;
    Thing::list_by_engine_and_type(engine, 1, 2).order_by(Thing::TYPE.asc()).await?;
    Thing::update_by_id(engine, 1).r#type(2).into_future(3).value(4).await?;
    ::core::result::Result::Ok(())
}

fn main() {
    let _ = run;
}
