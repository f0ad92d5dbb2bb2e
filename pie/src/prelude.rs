//! What most files need: `use pie::prelude::*;`.

pub use crate::{Cached, Engine, Model, Tx, cached, invalidates};
