//! Values by hand on their way out of the cache.

use std::fmt;
use std::future::IntoFuture;
use std::marker::PhantomData;
use std::sync::Arc;

use serde::de::DeserializeOwned;

use super::{Cache, typed, unlimited};
use crate::cache::chain::Found;
use crate::cache::layer::BoxFuture;
use crate::cache::rules::Limits;
use crate::error::{Error, ErrorKind, Result};
use crate::query::Cached;

/// Of a value past its time, a reader wants to know that it is there.
fn ever() -> Limits {
    Limits { stale: u64::MAX >> 2, ..unlimited() }
}

/// A value by hand before it is looked up: awaiting it gives `Option<Cached<T>>`.
#[must_use = "await it"]
pub struct Get<'c, T> {
    pub(super) cache: &'c Cache,
    pub(super) key: &'c str,
    pub(super) types: PhantomData<fn() -> T>,
}

/// A value by hand that has to be there: awaiting it gives `Cached<T>`.
#[must_use = "await it"]
pub struct GetRequired<'c, T>(Get<'c, T>);

impl<T> fmt::Debug for Get<'_, T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Get").field("cache", &self.cache).finish_non_exhaustive()
    }
}

impl<T> fmt::Debug for GetRequired<'_, T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("GetRequired").field(&self.0).finish()
    }
}

impl<'c, T> Get<'c, T> {
    /// The value itself: awaiting it fails with [`ErrorKind::Expired`] when a layer still holds the value past its time to
    /// live, and with [`ErrorKind::NotFound`] when none has it, or it was invalidated.
    pub fn required(self) -> GetRequired<'c, T> {
        GetRequired(self)
    }

    /// The value that is found, also one past its time.
    async fn find(&self) -> Result<Option<Found>> {
        self.cache.check()?;
        let item = Arc::new(self.cache.item(self.key, &[], ever())?);
        Ok(self.cache.find_any(&[item]).await.pop().flatten())
    }
}

impl<'c, T> IntoFuture for Get<'c, T>
where
    T: DeserializeOwned + Send + Sync + 'static,
{
    type Output = Result<Option<Cached<T>>>;
    type IntoFuture = BoxFuture<'c, Self::Output>;

    fn into_future(self) -> Self::IntoFuture {
        Box::pin(async move {
            let found = self.find().await?.filter(|found| !found.stale);
            found.map(|found| typed(&found)).transpose()
        })
    }
}

impl<'c, T> IntoFuture for GetRequired<'c, T>
where
    T: DeserializeOwned + Send + Sync + 'static,
{
    type Output = Result<Cached<T>>;
    type IntoFuture = BoxFuture<'c, Self::Output>;

    fn into_future(self) -> Self::IntoFuture {
        Box::pin(async move {
            match self.0.find().await? {
                Some(found) if found.stale => {
                    Err(Error::new(ErrorKind::Expired, "the value under this key is past its time to live"))
                }
                Some(found) => typed(&found),
                None => Err(Error::new(ErrorKind::NotFound, "there is no value under this key")),
            }
        })
    }
}
