//! Types of one's own that are called as the usual ones are: the compiler, not the name, says what they are.
use pie::prelude::*;

mod own {
    #[derive(Clone, serde::Serialize, serde::Deserialize)]
    pub struct Option<T>(pub T);
    #[derive(Clone, serde::Serialize, serde::Deserialize)]
    pub struct Vec;
    #[derive(Clone, serde::Serialize, serde::Deserialize)]
    pub struct Result {
        pub option: Option<u8>,
    }
}

#[cached(ttl = "1m")]
pub async fn option(engine: &Engine) -> own::Option<u8> {
    let _ = engine;
    own::Option(1)
}

#[cached(ttl = "1m")]
pub async fn vec(engine: &Engine) -> own::Vec {
    let _ = engine;
    own::Vec
}

#[cached(ttl = "1m")]
pub async fn result(engine: &Engine) -> own::Result {
    let _ = engine;
    own::Result { option: own::Option(1) }
}

fn main() {
    let _ = (option_cache_key(), vec_cache_key(), result_cache_key());
}
