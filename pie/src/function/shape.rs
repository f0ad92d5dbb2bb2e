//! What a cached function returns: found out by the compiler, from the type itself, so that aliases and types of the same
//! name as `Result` or `Option` are what they are.
//!
//! A method of the type itself wins over one of a trait: `Probe<Result<T, E>>` has `outer` by itself, every other type gets
//! it from a trait that the expansion brings in. (The idea is known as autoref or inherent specialization.)
#![allow(
    private_interfaces,
    reason = "generated code names these traits, and only this crate calls their methods"
)]

use std::any::Any;
use std::convert::Infallible;
use std::fmt;
use std::marker::PhantomData;
use std::sync::Arc;

use super::bounds::{CacheValue, CopiedValue};
use super::call::{Call, Ended, Later};
use super::stored::Stored;
use crate::cache::BoxFuture;
use crate::cache::entry::{AnyValue, Payload, ValueCodec};
use crate::layers::memory::Sight;
use crate::query::{Cached, Told};

/// A question about a type.
#[derive(Debug)]
pub struct Probe<T: ?Sized>(PhantomData<fn() -> T>);

impl<T: ?Sized> Clone for Probe<T> {
    fn clone(&self) -> Self {
        *self
    }
}
impl<T: ?Sized> Copy for Probe<T> {}

/// A question about this type.
#[must_use]
pub const fn probe<T: ?Sized>() -> Probe<T> {
    Probe(PhantomData)
}

macro_rules! kinds {
    ($($(#[$doc:meta])* $name:ident<$($generic:ident),+>),* $(,)?) => {$(
        $(#[$doc])*
        #[derive(Debug)]
        pub struct $name<$($generic),+>(PhantomData<fn() -> ($($generic,)+)>);
        impl<$($generic),+> Clone for $name<$($generic),+> {
            fn clone(&self) -> Self {
                *self
            }
        }
        impl<$($generic),+> Copy for $name<$($generic),+> {}
    )*};
}

kinds! {
    /// A `Result`.
    OfResult<T, E>,
    /// Anything but a `Result`.
    OfValue<T>,
    /// An `Option`.
    OptionOf<T>,
    /// An `Arc`.
    ArcOf<T>,
    /// A [`Cached`].
    CachedOf<T>,
    /// A `Vec`.
    VecOf<T>,
    /// Anything else.
    Whole<T>,
}

impl<T, E> Probe<Result<T, E>> {
    /// A result.
    #[must_use]
    pub fn outer(self) -> OfResult<T, E> {
        OfResult(PhantomData)
    }
}

/// What is no `Result`.
pub trait OuterFallback<T>: Sized {
    /// A value.
    #[must_use]
    fn outer(self) -> OfValue<T> {
        OfValue(PhantomData)
    }
}
impl<T> OuterFallback<T> for Probe<T> {}

macro_rules! wraps {
    ($($type:ty => $kind:ident),* $(,)?) => {$(
        impl<T> Probe<$type> {
            /// How the value is wrapped.
            #[must_use]
            pub fn wrap(self) -> $kind<T> {
                $kind(PhantomData)
            }
        }
    )*};
}

wraps!(Option<T> => OptionOf, Arc<T> => ArcOf, Cached<T> => CachedOf, Vec<T> => VecOf);

/// What is wrapped in nothing that is known.
pub trait WrapFallback<T>: Sized {
    /// The value itself.
    #[must_use]
    fn wrap(self) -> Whole<T> {
        Whole(PhantomData)
    }
}
impl<T> WrapFallback<T> for Probe<T> {}

/// What a `Result` holds, or the value itself. Asked of every return type, and so the traits that come with it are never unused.
pub trait Inside: Sized {
    /// What is in it.
    type Inner;

    /// What is in it.
    #[must_use]
    fn inner(self) -> Probe<Self::Inner> {
        probe()
    }
}
impl<T, E> Inside for OfResult<T, E> {
    type Inner = T;
}
impl<T> Inside for OfValue<T> {
    type Inner = T;
}

impl<T, E> OfResult<T, E> {
    /// Its error.
    #[must_use]
    pub fn error(self) -> Probe<E> {
        probe()
    }

    /// Whether the function did what it was to do.
    #[must_use]
    pub fn succeeded(self, returned: &Result<T, E>) -> bool {
        returned.is_ok()
    }
}

impl<T> OfValue<T> {
    /// The error, of which there is none.
    #[must_use]
    pub fn error(self) -> Probe<Infallible> {
        probe()
    }

    /// A function without an error always does.
    #[must_use]
    pub fn succeeded(self, _: &T) -> bool {
        true
    }
}

macro_rules! inner {
    ($($kind:ident),*) => {$(
        impl<T> $kind<T> {
            /// What is in it.
            #[must_use]
            pub fn inner(self) -> Probe<T> {
                probe()
            }
        }
    )*};
}
inner!(OptionOf, ArcOf, CachedOf);

macro_rules! nothing_inside {
    ($($kind:ident),*) => {$(
        impl<T> $kind<T> {
            /// Nothing that has to be looked at.
            #[must_use]
            pub fn inner(self) -> Probe<()> {
                probe()
            }
        }
    )*};
}
nothing_inside!(VecOf, Whole);

/// An error that several callers may have.
#[derive(Debug, Clone, Copy)]
pub struct Shared;
/// An error that only one caller can have.
#[derive(Debug, Clone, Copy)]
pub struct Alone;

impl<E: Clone + Send + Sync + 'static> Probe<E> {
    /// Whether the error can be shared.
    #[must_use]
    pub fn sharing(self) -> Shared {
        Shared
    }
}

/// Errors that are not `Clone`.
pub trait AloneFallback<E>: Sized {
    /// It cannot.
    #[must_use]
    fn sharing(self) -> Alone {
        Alone
    }
}
impl<E> AloneFallback<E> for Probe<E> {}

/// How an error goes to those who waited for the same load.
pub trait Sharing<E> {
    /// A copy for the others.
    fn share(error: &E) -> Option<Arc<dyn Any + Send + Sync>>;
    /// A copy of what another one shared.
    fn shared(error: &(dyn Any + Send + Sync)) -> Option<E>;
}

impl<E: Clone + Send + Sync + 'static> Sharing<E> for Shared {
    fn share(error: &E) -> Option<Arc<dyn Any + Send + Sync>> {
        Some(Arc::new(error.clone()))
    }

    fn shared(error: &(dyn Any + Send + Sync)) -> Option<E> {
        error.downcast_ref::<E>().cloned()
    }
}

impl<E> Sharing<E> for Alone {
    fn share(_: &E) -> Option<Arc<dyn Any + Send + Sync>> {
        None
    }

    fn shared(_: &(dyn Any + Send + Sync)) -> Option<E> {
        None
    }
}

/// The outside of a return type.
pub(super) trait Outer<R> {
    /// What is stored of it.
    type Inner;
    /// What is not.
    type Error;

    /// What the function returned.
    ///
    /// # Errors
    /// The function's own error.
    fn open(returned: R) -> Result<Self::Inner, Self::Error>;
    /// What the function returns.
    fn close(value: Result<Self::Inner, Self::Error>) -> R;
}

impl<T, E> Outer<Result<T, E>> for OfResult<T, E> {
    type Inner = T;
    type Error = E;

    fn open(returned: Result<T, E>) -> Result<T, E> {
        returned
    }

    fn close(value: Result<T, E>) -> Result<T, E> {
        value
    }
}

impl<T> Outer<T> for OfValue<T> {
    type Inner = T;
    type Error = Infallible;

    fn open(returned: T) -> Result<T, Infallible> {
        Ok(returned)
    }

    fn close(value: Result<T, Infallible>) -> T {
        match value {
            Ok(value) => value,
            Err(never) => match never {},
        }
    }
}

/// Whether a value counts as empty.
pub trait Content<T> {
    /// Whether it does.
    fn is_empty(value: &T) -> bool;
}

impl<T> Content<Vec<T>> for VecOf<T> {
    fn is_empty(value: &Vec<T>) -> bool {
        value.is_empty()
    }
}

impl<T> Content<Option<T>> for OptionOf<T> {
    fn is_empty(value: &Option<T>) -> bool {
        value.is_none()
    }
}

impl<T> Content<Arc<T>> for ArcOf<T> {
    fn is_empty(_: &Arc<T>) -> bool {
        false
    }
}

impl<T> Content<Cached<T>> for CachedOf<T> {
    fn is_empty(_: &Cached<T>) -> bool {
        false
    }
}

impl<T> Content<T> for Whole<T> {
    fn is_empty(_: &T) -> bool {
        false
    }
}

/// The two outermost types of a value, what is to be stored of it, and what has to be `Clone` for that.
#[derive(Debug)]
pub struct Kinds<S, L, C>(PhantomData<S>, PhantomData<L>, PhantomData<C>);

impl<S, L, C> Clone for Kinds<S, L, C> {
    fn clone(&self) -> Self {
        *self
    }
}
impl<S, L, C> Copy for Kinds<S, L, C> {}

/// What a value of these kinds is made of, whether it can be stored or not.
pub trait Made {
    /// What is stored.
    type Leaf;
    /// What a hit copies.
    type Copied;
}

macro_rules! made {
    ($([$($generics:ident),*] $kinds:ty => $leaf:ty, $copied:ty;)*) => {$(
        impl<$($generics),*> Made for $kinds {
            type Leaf = $leaf;
            type Copied = $copied;
        }
    )*};
}

made! {
    [T] (Whole<T>, Whole<()>) => T, T;
    [T] (VecOf<T>, Whole<()>) => T, T;
    [T] (OptionOf<T>, Whole<T>) => T, T;
    [T] (OptionOf<Vec<T>>, VecOf<T>) => T, T;
    [T] (OptionOf<Option<T>>, OptionOf<T>) => T, T;
    [T] (OptionOf<Arc<T>>, ArcOf<T>) => T, ();
    [T] (OptionOf<Cached<T>>, CachedOf<T>) => T, ();
    [T, C] (ArcOf<T>, C) => T, ();
    [T, C] (CachedOf<T>, C) => T, ();
}

macro_rules! and {
    ($($kind:ident),*) => {$(
        impl<T> $kind<T> {
            /// This kind, and that of what is in it.
            #[must_use]
            pub fn with<B>(self, _: B) -> Kinds<(Self, B), <(Self, B) as Made>::Leaf, <(Self, B) as Made>::Copied>
            where
                (Self, B): Made,
            {
                Kinds(PhantomData, PhantomData, PhantomData)
            }
        }
    )*};
}
and!(OptionOf, ArcOf, CachedOf, VecOf, Whole);

impl<S, L, C> Kinds<S, L, C> {
    /// What has to be a [`CacheValue`].
    #[must_use]
    pub fn leaf(self) -> Probe<L> {
        probe()
    }
}

impl<S, L: CacheValue, C> Kinds<S, L, C> {
    /// What has to be `Clone`.
    #[must_use]
    pub fn copied(self) -> Probe<C> {
        probe()
    }
}

impl<S: Copy, L: CacheValue, C: CopiedValue> Kinds<S, L, C> {
    /// How it is stored.
    #[must_use]
    pub fn stored(self) -> Fits<S> {
        Fits(PhantomData)
    }
}

/// Kinds of which the compiler has said already that they cannot be stored: nothing else is to be said of them.
pub trait KindsFallback: Sized {
    /// Nothing more is asked for.
    #[must_use]
    fn copied(self) -> Probe<()> {
        probe()
    }

    /// Not at all.
    #[must_use]
    fn stored(self) -> Refused {
        Refused
    }
}
impl<S, L, C> KindsFallback for Kinds<S, L, C> {}

/// Kinds that can be stored.
#[derive(Debug, Clone, Copy)]
pub struct Fits<S>(PhantomData<S>);

/// What stands for them in a program that does not compile.
#[derive(Debug, Clone, Copy)]
pub struct Refused;

/// Everything that is to be known of a return type, as data: `R` is what the function returns, `X` what is stored of it, `E`
/// its error.
pub struct Shape<R, X, E> {
    pub(super) open: fn(R) -> Result<X, E>,
    pub(super) close: fn(Result<X, E>) -> R,
    pub(super) codec: &'static ValueCodec,
    pub(super) store: fn(X) -> Payload,
    pub(super) restore: fn(&AnyValue, Told) -> Option<X>,
    /// The same of what memory has, where it is.
    pub(super) lend: fn(Sight, Told) -> Option<X>,
    pub(super) share: fn(&E) -> Option<Arc<dyn Any + Send + Sync>>,
    pub(super) shared: fn(&(dyn Any + Send + Sync)) -> Option<E>,
}

impl<R, X, E> Clone for Shape<R, X, E> {
    fn clone(&self) -> Self {
        *self
    }
}

impl<R, X, E> Copy for Shape<R, X, E> {}

impl<R, X, E> fmt::Debug for Shape<R, X, E> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Shape")
    }
}

impl<R: Send, X: Send, E: Send> Shape<R, X, E> {
    /// The answer of a call: from the layers, or from the function's body.
    pub fn run<'f>(self, call: Call<'f>, body: BoxFuture<'f, R>) -> BoxFuture<'f, R>
    where
        R: 'f,
        X: 'f,
        E: 'f,
    {
        self.run_until(call, None, None, body)
    }

    /// The same, cut short by a timeout, and with a run for a task of its own.
    ///
    /// In a box, so that the futures of callers stay small.
    pub fn run_until<'f>(
        self,
        call: Call<'f>,
        ended: Ended<R>,
        later: Option<Later>,
        body: BoxFuture<'f, R>,
    ) -> BoxFuture<'f, R>
    where
        R: 'f,
        X: 'f,
        E: 'f,
    {
        Box::pin(call.answer(self, ended, later, body))
    }
}

/// Shapes of which the compiler has said already that other threads cannot have them: nothing else is to be said.
pub trait Answering<R>: Sized {
    /// Only the body.
    fn run<'f>(self, _: Call<'f>, body: BoxFuture<'f, R>) -> BoxFuture<'f, R> {
        body
    }

    /// Only the body.
    fn run_until<'f>(
        self,
        _: Call<'f>,
        _: Ended<R>,
        _: Option<Later>,
        body: BoxFuture<'f, R>,
    ) -> BoxFuture<'f, R> {
        body
    }
}
impl<R, X, E> Answering<R> for Shape<R, X, E> {}

/// The shape of a return type, from the answers to the questions about it.
const fn shape<R, O, S, Sh>(_: O, _: S, _: Sh) -> Shape<R, O::Inner, O::Error>
where
    O: Outer<R> + Copy,
    S: Stored<O::Inner> + Copy,
    Sh: Sharing<O::Error> + Copy,
{
    Shape {
        open: O::open,
        close: O::close,
        codec: S::CODEC,
        store: S::store,
        restore: S::restore,
        lend: S::lend,
        share: Sh::share,
        shared: Sh::shared,
    }
}

impl<T, E> OfResult<T, E> {
    /// Everything that is to be known.
    #[must_use]
    pub const fn shape<S: Stored<T> + Copy, Sh: Sharing<E> + Copy>(
        self,
        stored: S,
        sharing: Sh,
    ) -> Shape<Result<T, E>, T, E> {
        shape(self, stored, sharing)
    }
}

impl<T> OfValue<T> {
    /// Everything that is to be known.
    #[must_use]
    pub const fn shape<S: Stored<T> + Copy, Sh: Sharing<Infallible> + Copy>(
        self,
        stored: S,
        sharing: Sh,
    ) -> Shape<T, T, Infallible> {
        shape(self, stored, sharing)
    }
}
