//! Everything a function may return.
use pie::{Cached, prelude::*};
use std::sync::Arc;

#[derive(serde::Serialize, serde::Deserialize)]
pub struct NotClone;
#[derive(Debug)]
pub struct NotCloneError;

macro_rules! functions {
    ($($name:ident: $type:ty = $value:expr;)*) => {$(
        #[cached(ttl = "1m", via = global)]
        pub async fn $name(id: i64) -> $type {
            let _ = id;
            $value
        }
    )*};
}

functions! {
    value: u64 = 1;
    text: String = String::new();
    tuple: (u64, Option<String>) = (1, None);
    option: Option<u64> = None;
    list: Vec<u64> = Vec::new();
    option_list: Option<Vec<u64>> = None;
    option_option: Option<Option<u64>> = None;
    arc: Arc<NotClone> = Arc::new(NotClone);
    arc_list: Arc<Vec<NotClone>> = Arc::new(Vec::new());
    option_arc: Option<Arc<NotClone>> = None;
    option_arc_list: Option<Arc<Vec<u64>>> = None;
    cached: Cached<NotClone> = unreachable!();
    option_cached: Option<Cached<NotClone>> = None;
    result: Result<u64, NotCloneError> = Ok(1);
    result_option: Result<Option<u64>, NotCloneError> = Ok(None);
    result_list: Result<Vec<u64>, String> = Ok(Vec::new());
    result_arc: Result<Arc<NotClone>, NotCloneError> = Ok(Arc::new(NotClone));
    result_cached: pie::Result<Cached<NotClone>> = unreachable!();
    result_nothing: Result<(), NotCloneError> = Ok(());
}

fn main() {}
