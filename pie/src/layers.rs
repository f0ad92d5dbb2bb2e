//! The layers that ship: memory (mini-moka) and Redis.

mod front;
pub(crate) mod memory;
#[cfg(feature = "redis")]
pub(crate) mod redis;

pub use memory::{Memory, MemoryConfig};
#[cfg(feature = "redis")]
pub use redis::{IntoRedisConfig, RedisConfig, RedisLayer};
