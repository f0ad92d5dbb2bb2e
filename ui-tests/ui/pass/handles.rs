//! Every way to the engine.
use pie::{Tx, prelude::*};
use std::sync::Arc;

struct Field {
    engine: Engine,
}

struct Shared {
    engine: Arc<Engine>,
}

impl Field {
    #[cached(ttl = "1m", via = self.engine)]
    pub async fn of_self(&self) -> u64 {
        1
    }

    fn engine(&self) -> &Engine {
        &self.engine
    }

    #[cached(ttl = "1m", via = self.engine())]
    pub async fn of_a_call(&self) -> u64 {
        1
    }
}

impl Shared {
    #[cached(ttl = "1m", via = self.engine)]
    pub async fn of_an_arc(self: &Arc<Self>) -> u64 {
        1
    }
}

#[cached(ttl = "1m")]
pub async fn argument(engine: &Engine) -> u64 {
    let _ = engine;
    1
}

#[cached(ttl = "1m")]
pub async fn transaction(tx: &Tx) -> u64 {
    let _ = tx;
    1
}

#[cached(ttl = "1m", via = handle)]
pub async fn any(handle: &impl pie::Handle, id: i64) -> i64 {
    let _ = handle;
    id
}

#[cached(ttl = "1m", via = global)]
pub async fn installed() -> u64 {
    1
}

async fn run(field: Field, shared: Arc<Shared>, engine: Engine) {
    field.of_self().await;
    field.of_a_call().await;
    shared.of_an_arc().await;
    argument(&engine).await;
    any(&engine, 1).await;
    installed().await;
}

fn main() {
    let _ = run;
}
