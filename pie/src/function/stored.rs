//! How the values of functions are stored and given back, shape by shape.
#![allow(
    private_interfaces,
    reason = "generated code names what these traits are for, and only this crate calls their methods"
)]

use std::any::Any;
use std::marker::PhantomData;
use std::sync::Arc;

use serde::Serialize;
use serde::de::DeserializeOwned;

use super::shape::{ArcOf, CachedOf, Content, Fits, OptionOf, Refused, VecOf, Whole};
use crate::cache::entry::{AnyValue, Payload, ValueCodec};
use crate::codec::CodecId;
use crate::layers::memory::Sight;
use crate::model::Json;
use crate::query::{Cached, Told};

/// How a value is stored and given back.
pub trait Stored<X> {
    /// The codec of what is stored.
    #[doc(hidden)]
    const CODEC: &'static ValueCodec;
    /// What is stored.
    #[doc(hidden)]
    fn store(value: X) -> Payload;
    /// What was stored; `None` for another type's.
    #[doc(hidden)]
    fn restore(value: &AnyValue, told: Told) -> Option<X>;
    /// What memory has; `None` for another type's.
    #[doc(hidden)]
    fn lend(sight: Sight, told: Told) -> Option<X> {
        Self::restore(sight.entry().value(), told)
    }
}

impl<X> Stored<X> for Refused {
    const CODEC: &'static ValueCodec =
        &ValueCodec { id: CodecId::Function, encode: |_| None, decode: |_| None, weigh: |_| 0, tags: None };

    fn store(_: X) -> Payload {
        Payload { empty: true, value: Arc::new(()) }
    }

    fn restore(_: &AnyValue, _: Told) -> Option<X> {
        None
    }
}

/// What can be written for other processes.
trait Wire: Serialize + DeserializeOwned + Send + Sync + 'static {}
impl<T: Serialize + DeserializeOwned + Send + Sync + 'static> Wire for T {}

fn encode<T: Serialize + 'static>(value: &(dyn Any + Send + Sync)) -> Option<Vec<u8>> {
    serde_json::to_vec(value.downcast_ref::<T>()?).ok()
}

/// An estimate: as large as its JSON, and its own size. Nothing else is known of a type of serde.
fn weigh<T: Serialize + 'static>(value: &(dyn Any + Send + Sync)) -> usize {
    value.downcast_ref::<T>().map_or(0, |value| size_of::<T>() + Json::text_bytes(value))
}

/// The codec of a value that is stored in an `Arc` as it is.
struct Plain<T, C>(PhantomData<(T, C)>);

impl<T: Wire, C: Content<T>> Plain<T, C> {
    const CODEC: ValueCodec = ValueCodec {
        id: CodecId::Function,
        encode: encode::<T>,
        decode: |bytes| serde_json::from_slice::<T>(bytes).ok().map(|value| Self::payload(Arc::new(value))),
        weigh: weigh::<T>,
        tags: None,
    };

    fn payload(value: Arc<T>) -> Payload {
        Payload { empty: C::is_empty(&value), value }
    }

    fn open(value: &AnyValue) -> Option<Arc<T>> {
        Arc::clone(value).downcast().ok()
    }
}

macro_rules! cloned {
    ($([$($generics:tt)*] $type:ty, $kinds:ty, $content:ty;)*) => {$(
        #[allow(private_bounds, reason = "nobody implements it")]
        impl<$($generics)*> Stored<$type> for Fits<$kinds>
        where
            $type: Wire + Clone,
        {
            const CODEC: &'static ValueCodec = &Plain::<$type, $content>::CODEC;

            fn store(value: $type) -> Payload {
                Plain::<$type, $content>::payload(Arc::new(value))
            }

            fn restore(value: &AnyValue, _: Told) -> Option<$type> {
                Plain::<$type, $content>::open(value).map(|value| (*value).clone())
            }
        }
    )*};
}

cloned! {
    [T] T, (Whole<T>, Whole<()>), Whole<T>;
    [T] Vec<T>, (VecOf<T>, Whole<()>), VecOf<T>;
    [T] Option<T>, (OptionOf<T>, Whole<T>), OptionOf<T>;
    [T] Option<Vec<T>>, (OptionOf<Vec<T>>, VecOf<T>), OptionOf<Vec<T>>;
    [T] Option<Option<T>>, (OptionOf<Option<T>>, OptionOf<T>), OptionOf<Option<T>>;
}

#[allow(private_bounds, reason = "nobody implements it")]
impl<T: Wire, C: Content<T>> Stored<Arc<T>> for Fits<(ArcOf<T>, C)> {
    const CODEC: &'static ValueCodec = &Plain::<T, C>::CODEC;

    fn store(value: Arc<T>) -> Payload {
        Plain::<T, C>::payload(value)
    }

    fn restore(value: &AnyValue, _: Told) -> Option<Arc<T>> {
        Plain::<T, C>::open(value)
    }
}

#[allow(private_bounds, reason = "nobody implements it")]
impl<T: Wire, C: Content<T>> Stored<Cached<T>> for Fits<(CachedOf<T>, C)> {
    const CODEC: &'static ValueCodec = &Plain::<T, C>::CODEC;

    fn store(value: Cached<T>) -> Payload {
        Plain::<T, C>::payload(value.into_arc())
    }

    fn restore(value: &AnyValue, told: Told) -> Option<Cached<T>> {
        Plain::<T, C>::open(value).map(|value| Cached::told(value, told))
    }

    fn lend(sight: Sight, told: Told) -> Option<Cached<T>> {
        Cached::lent(sight, told)
    }
}

/// A shared value or none, as it is stored.
struct Maybe<T>(PhantomData<T>);

impl<T: Wire> Maybe<T> {
    const CODEC: ValueCodec = ValueCodec {
        id: CodecId::Function,
        encode: |value| serde_json::to_vec(&value.downcast_ref::<Option<Arc<T>>>()?.as_deref()).ok(),
        decode: |bytes| {
            serde_json::from_slice::<Option<T>>(bytes).ok().map(|value| Self::payload(value.map(Arc::new)))
        },
        weigh: |value| match value.downcast_ref::<Option<Arc<T>>>() {
            Some(Some(value)) => size_of::<T>() + Json::text_bytes(&**value),
            _ => 0,
        },
        tags: None,
    };

    fn payload(value: Option<Arc<T>>) -> Payload {
        Payload { empty: value.is_none(), value: Arc::new(value) }
    }

    fn open(value: &AnyValue) -> Option<Option<Arc<T>>> {
        value.downcast_ref::<Option<Arc<T>>>().cloned()
    }
}

#[allow(private_bounds, reason = "nobody implements it")]
impl<T: Wire> Stored<Option<Arc<T>>> for Fits<(OptionOf<Arc<T>>, ArcOf<T>)> {
    const CODEC: &'static ValueCodec = &Maybe::<T>::CODEC;

    fn store(value: Option<Arc<T>>) -> Payload {
        Maybe::payload(value)
    }

    fn restore(value: &AnyValue, _: Told) -> Option<Option<Arc<T>>> {
        Maybe::open(value)
    }
}

#[allow(private_bounds, reason = "nobody implements it")]
impl<T: Wire> Stored<Option<Cached<T>>> for Fits<(OptionOf<Cached<T>>, CachedOf<T>)> {
    const CODEC: &'static ValueCodec = &Maybe::<T>::CODEC;

    fn store(value: Option<Cached<T>>) -> Payload {
        Maybe::payload(value.map(Cached::into_arc))
    }

    fn restore(value: &AnyValue, told: Told) -> Option<Option<Cached<T>>> {
        let value = Maybe::open(value)?;
        Some(value.map(|value: Arc<T>| Cached::told(value, told)))
    }
}
