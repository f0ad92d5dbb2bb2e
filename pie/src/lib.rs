#![doc = include_str!("../docs/crate.md")]
#![cfg_attr(docsrs, feature(doc_cfg))]

#[macro_use]
mod mistake;
#[doc(hidden)]
#[path = "private.rs"]
pub mod __private;
pub mod cache;
mod clock;
pub mod codec;
pub mod database;
mod engine;
mod error;
mod function;
mod heard;
mod human;
mod layers;
pub mod model;
#[cfg(all(test, feature = "redis"))]
mod model_check;
pub mod plan;
pub mod prelude;
#[cfg(all(test, feature = "sqlite"))]
mod property_check;
pub mod query;
mod task;
#[cfg(feature = "testing")]
pub mod testing;

pub use clock::ManualClock;
pub use database::{Isolation, TxOptions};
pub use engine::{
    CacheConfig, DatabaseSettings, Engine, EngineBuilder, OnDetached, OnL2Down, Settings, Tables, Tx,
    UndeclaredCascade, Warm, WarmedQuery, Warmup, WarmupOutcome, WarmupProgress, WarmupReport,
};
pub use error::{Error, ErrorKind, Result};
pub use function::{
    CacheKey, CacheValue, CallError, CopiedValue, DetachedArgument, KeyWriter, TimedOut, install,
};
#[cfg(feature = "redis")]
pub use layers::{IntoRedisConfig, RedisConfig, RedisLayer};
pub use layers::{Memory, MemoryConfig};
pub use model::{Column, HeapSize, Model, Value};
/// BSON, in the version that the driver of MongoDB takes: `doc!`, `Document`, `oid::ObjectId`.
#[cfg(feature = "mongodb")]
pub use mongodb::bson;
pub use plan::filter::Filter;
pub use query::{Cached, Handle, Page, Query, Source};

#[doc = include_str!("../docs/cache_key.md")]
pub use pie_derive::CacheKey;
#[doc = include_str!("../docs/heap_size.md")]
pub use pie_derive::HeapSize;
#[doc = include_str!("../docs/model.md")]
pub use pie_derive::Model;
#[doc = include_str!("../docs/value.md")]
pub use pie_derive::Value;
#[doc = include_str!("../docs/cached.md")]
pub use pie_derive::cached;
#[doc = include_str!("../docs/invalidates.md")]
pub use pie_derive::invalidates;

/// The README's code compiles and runs.
#[cfg(doctest)]
#[doc = include_str!("../../README.md")]
pub struct Readme;
