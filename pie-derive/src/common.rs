//! What all macros share.

pub(crate) mod attributes;
pub(crate) mod case;
pub(crate) mod crate_path;
pub(crate) mod duration;
pub(crate) mod errors;
pub(crate) mod fields;
pub(crate) mod policy;
pub(crate) mod suggest;
