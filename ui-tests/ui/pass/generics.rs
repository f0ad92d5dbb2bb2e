//! Functions and types with parameters.
use pie::{CacheKey, prelude::*};
use serde::{Serialize, de::DeserializeOwned};

#[cached(ttl = "1m", key = "latest:{kind}", skip(make), via = global)]
pub async fn latest<T>(kind: &str, make: fn() -> T) -> Option<T>
where
    T: Clone + Serialize + DeserializeOwned + Send + Sync + 'static,
{
    let _ = kind;
    Some(make())
}

pub struct Repository<T> {
    engine: Engine,
    of: std::marker::PhantomData<fn() -> T>,
}

impl<T: Clone + Serialize + DeserializeOwned + Default + Send + Sync + 'static> Repository<T> {
    #[cached(ttl = "1m", via = self.engine)]
    pub async fn find(&self, id: i64) -> Option<T> {
        let _ = id;
        None
    }
}

#[cached(ttl = "1m", via = global)]
pub async fn counted<K: CacheKey + Sync, const N: usize>(key: &K, list: [u8; N]) -> usize {
    let _ = (key, list);
    N
}

fn main() {
    let _ = |repository: Repository<u8>| async move { repository.find(1).await };
    let _ = latest("user", || 1_u8);
    let _ = counted(&1, [1, 2]);
}
