//! Methods of traits, with the language's own `async fn` and with boxed futures, as `async_trait` writes them.
use pie::prelude::*;
use std::pin::Pin;

pub struct Users {
    engine: Engine,
}

#[allow(async_fn_in_trait)]
pub trait Find {
    async fn find(&self, id: i64) -> Option<u64>;
    async fn find_all(&self) -> Vec<u64>;
    async fn twice(&self, id: i64) -> u64;
}

impl Find for Users {
    #[cached(ttl = "1m", via = self.engine)]
    async fn find(&self, id: i64) -> Option<u64> {
        Some(id as u64)
    }

    #[cached(ttl = "1m", key = "users", via = self.engine)]
    async fn find_all(&self) -> Vec<u64> {
        vec![1]
    }

    #[invalidates(keys("users"), via = self.engine)]
    async fn twice(&self, id: i64) -> u64 {
        id as u64 * 2
    }
}

pub trait Boxed {
    fn find<'a>(&'a self, id: i64) -> Pin<Box<dyn Future<Output = Option<u64>> + Send + 'a>>;
    fn rename<'a>(&'a self, id: i64) -> Pin<Box<dyn Future<Output = Result<(), String>> + Send + 'a>>;
}

impl Boxed for Users {
    #[cached(ttl = "1m", via = self.engine)]
    fn find<'a>(&'a self, id: i64) -> Pin<Box<dyn Future<Output = Option<u64>> + Send + 'a>> {
        Box::pin(async move { Some(id as u64) })
    }

    #[invalidates(keys("find:{id}"), via = self.engine)]
    fn rename<'a>(&'a self, id: i64) -> Pin<Box<dyn Future<Output = Result<(), String>> + Send + 'a>> {
        Box::pin(async move { if id > 0 { Ok(()) } else { Err(String::new()) } })
    }
}

fn sendable<T: Send>(_: T) {}

fn main() {
    let _ = |users: &Users| sendable(Boxed::find(users, 1));
}
