//! Functions with awkward names, under strict lints, without a prelude.
#![deny(warnings, missing_docs, unused, clippy::pedantic)]
#![no_implicit_prelude]
extern crate alloc;

/// A type of one's own with a usual name.
#[allow(dead_code)]
#[derive(Clone, Debug, ::serde::Serialize, ::serde::Deserialize)]
pub struct Option;
/// A module of one's own with a usual name.
#[allow(dead_code)]
pub mod std {}

/// Something with an engine.
#[derive(Debug)]
pub struct Things {
    /// The engine.
    pub engine: ::pie::Engine,
}

impl Things {
    /// A thing.
    ///
    /// # Errors
    /// None.
    #[::pie::cached(ttl = "1m", via = self.engine)]
    pub async fn thing(&self, engine: i64, key: &str, cache: u8, self_: bool, r#type: u8) -> ::core::result::Result<Option, ()> {
        let _ = (engine, key, cache, self_, r#type);
        let ready: ::core::result::Result<(), ()> = ::core::result::Result::Ok(());
        ready?;
        if self_ {
            return ::core::result::Result::Err(());
        }
        ::core::result::Result::Ok(Option)
    }

    /// Changes a thing.
    #[::pie::invalidates(keys("thing:{key}"), via = self.engine)]
    pub async fn change(&self, key: &str) {
        let _ = key;
    }
}

/// A list.
///
/// # Errors
/// The database's.
#[::pie::cached(ttl = "1m", key = "list:{r#type}:{mut_}", companions = false)]
pub async fn list(engine: &::pie::Engine, r#type: u8, mut mut_: u8) -> ::core::result::Result<::alloc::vec::Vec<u8>, ::pie::Error> {
    mut_ += 1;
    let _ = engine;
    ::core::result::Result::Ok(::alloc::vec![r#type, mut_])
}

fn main() {}
