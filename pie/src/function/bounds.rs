//! What arguments and return types of cached functions have to be: traits that stand for bounds, with names and messages of their own.

use serde::Serialize;
use serde::de::DeserializeOwned;

use super::shape::Probe;
use crate::error::Error;
#[cfg(doc)]
use crate::query::Cached;

/// A type that a cached function can return, as it is or in an `Option`, a `Vec`, an `Arc` or a [`Cached`]: what serde writes and
/// reads, and what other threads may have.
///
/// Nobody implements it by hand: every type with `Serialize` and `Deserialize` has it.
#[diagnostic::on_unimplemented(
    message = "`{Self}` cannot be cached",
    label = "cannot be stored in a cache and given back",
    note = "write `#[derive(Clone, serde::Serialize, serde::Deserialize)]` on it, or on what it is made of"
)]
pub trait CacheValue: Sized {
    #[doc(hidden)]
    #[allow(missing_docs)]
    fn check(_: Probe<Self>) {}
}
#[diagnostic::do_not_recommend]
impl<T: Serialize + DeserializeOwned + Send + Sync + 'static> CacheValue for T {}

/// A [`CacheValue`] that a cached function can return by itself: a hit is a copy of it.
///
/// Nobody implements it by hand: every `Clone` type has it.
#[diagnostic::on_unimplemented(
    message = "`{Self}` is not `Clone`, and a hit is a copy",
    label = "cannot be copied out of the cache",
    note = "write `#[derive(Clone)]` on it, or return an `Arc` or a `pie::Cached` of it, which hits share"
)]
pub trait CopiedValue: Sized {
    #[doc(hidden)]
    #[allow(missing_docs)]
    fn check(_: Probe<Self>) {}
}
#[diagnostic::do_not_recommend]
impl<T: Clone> CopiedValue for T {}

/// The error of a cached function: what another thread may have, because a run of the function may end on one.
///
/// Nobody implements it by hand: every `Send` type has it.
#[diagnostic::on_unimplemented(
    message = "`{Self}` cannot be the error of a cached function",
    label = "cannot be given to another thread",
    note = "write `Box<dyn std::error::Error + Send + Sync>` for `Box<dyn std::error::Error>`, or an error type that is `Send`"
)]
pub trait CallError: Sized {
    #[doc(hidden)]
    #[allow(missing_docs)]
    fn check(_: Probe<Self>) {}
}
#[diagnostic::do_not_recommend]
impl<E: Send> CallError for E {}

/// What a function with a `timeout` returns: a `Result` whose error can be made of pie's.
///
/// Nobody implements it by hand: every `Result<T, E>` with `E: From<pie::Error>` has it.
#[diagnostic::on_unimplemented(
    message = "`{Self}` has no place for the error of a timeout",
    label = "`timeout` needs a `Result` whose error can be made of pie's",
    note = "return a `Result<_, E>` and write `impl From<pie::Error> for E`, or leave `timeout` away"
)]
pub trait TimedOut: Sized {
    #[doc(hidden)]
    #[allow(missing_docs)]
    fn timed_out(error: Error) -> Self;
}
#[diagnostic::do_not_recommend]
impl<T, E: From<Error>> TimedOut for Result<T, E> {
    fn timed_out(error: Error) -> Self {
        Err(error.into())
    }
}

/// An argument of a function with `stale`, `refresh_ahead` or `soft_timeout`, or the `self` of such a method: its runs may outlive
/// their callers, and take copies.
///
/// Nobody implements it by hand: every `Clone` type that borrows nothing has it.
#[diagnostic::on_unimplemented(
    message = "`{Self}` cannot be copied for a run that outlives its caller",
    label = "not `Clone`, or it borrows something",
    note = "write `#[derive(Clone)]` on it, or leave `stale`, `refresh_ahead` and `soft_timeout` away"
)]
pub trait DetachedArgument: Sized {
    #[doc(hidden)]
    #[allow(missing_docs)]
    fn copied(_: Probe<Self>) -> fn(&Self) -> Self;
}
#[diagnostic::do_not_recommend]
impl<T: Clone + Send + 'static> DetachedArgument for T {
    fn copied(_: Probe<T>) -> fn(&T) -> T {
        T::clone
    }
}
