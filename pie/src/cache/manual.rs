//! Values that a program sets by hand, under keys of its own: stored as JSON, decoded at most once.

use std::any::Any;
use std::sync::{Arc, OnceLock};

use bytes::Bytes;
use serde::Serialize;
use serde::de::DeserializeOwned;

use super::chain::{Chain, Item};
use super::entry::{AnyValue, Payload, ValueCodec};
use super::groups::MANUAL;
use super::key::{Key, KeyKind, Lookup, head};
use super::rules::Limits;
use super::stamps::StampName;
use crate::codec::{CodecId, Decoder, Encoder};
use crate::error::{Error, ErrorKind, Result};

/// The most bytes of a key.
const MAX_KEY: usize = 16 << 10;
/// The most stamp names of a value.
pub(crate) const MAX_NAMES: usize = 16;
/// What tells values set by hand from rows under the same logical key.
const FINGERPRINT: u64 = u64::from_be_bytes(*b"manual\0\x01");

/// The JSON of a value, its tags, and the value once somebody asked for it.
struct Manual {
    json: Bytes,
    tags: Arc<[Box<str>]>,
    decoded: OnceLock<AnyValue>,
}

/// A value as it is stored. The tags are stored with it: who reads it need not know them.
pub(crate) fn payload(json: Bytes, tags: Arc<[Box<str>]>) -> Payload {
    let empty = matches!(&json[..], b"null" | b"[]");
    Payload { value: Arc::new(Manual { json, tags, decoded: OnceLock::new() }), empty }
}

fn open(bytes: &[u8]) -> Option<(Vec<Box<str>>, &[u8])> {
    let mut input = Decoder::new(bytes);
    let count = input.uint()?;
    let tags = (0..count.min(MAX_NAMES as u64)).map(|_| input.text().map(String::into_boxed_str));
    Some((tags.collect::<Option<Vec<_>>>()?, input.rest()))
}

pub(crate) static CODEC: ValueCodec = ValueCodec {
    id: CodecId::Json,
    encode: |value: &(dyn Any + Send + Sync)| {
        let manual = value.downcast_ref::<Manual>()?;
        let mut out = Encoder::new();
        out.uint(manual.tags.len() as u64);
        manual.tags.iter().for_each(|tag| out.text(tag));
        let mut out = out.into_bytes();
        out.extend_from_slice(&manual.json);
        Some(out)
    },
    decode: |bytes| {
        let (tags, json) = open(bytes)?;
        Some(payload(Bytes::copy_from_slice(json), tags.into()))
    },
    // The value is about as large as its JSON.
    weigh: |value| {
        value.downcast_ref::<Manual>().map_or(0, |value| size_of::<Manual>() + 2 * value.json.len())
    },
    tags: Some(|bytes| Some(open(bytes)?.0)),
};

/// The JSON of a value.
///
/// # Errors
/// [`ErrorKind::InvalidValue`] when it has no form in JSON.
pub(crate) fn encode<T: Serialize + ?Sized>(value: &T) -> Result<Bytes> {
    match serde_json::to_vec(value) {
        Ok(json) => Ok(Bytes::from(json)),
        Err(error) => {
            Err(Error::new(ErrorKind::InvalidValue, "the value cannot be written as JSON").with_source(error))
        }
    }
}

/// The value of an entry, as its type.
///
/// # Errors
/// [`ErrorKind::Decode`] when the JSON is not that of a `T`.
pub(crate) fn decode<T: DeserializeOwned + Send + Sync + 'static>(value: &AnyValue) -> Result<Arc<T>> {
    let other = || {
        let message = format!("the value under this key is no `{}`", std::any::type_name::<T>());
        Error::new(ErrorKind::Decode, message)
    };
    let manual = value.downcast_ref::<Manual>().ok_or_else(other)?;
    if let Some(decoded) = manual.decoded.get()
        && let Ok(decoded) = Arc::clone(decoded).downcast::<T>()
    {
        return Ok(decoded);
    }
    // The error of serde may quote the value: it stays out.
    let decoded: Arc<T> = Arc::new(serde_json::from_slice(&manual.json).map_err(|_| other())?);
    // Another type may have been asked for first; then each is decoded again.
    let _ = manual.decoded.set(Arc::clone(&decoded) as AnyValue);
    Ok(decoded)
}

/// A key by hand that can be used.
///
/// # Errors
/// [`ErrorKind::InvalidQuery`] for an empty or too long key, or one that begins with `~`.
pub(crate) fn check_key(key: &str) -> Result<()> {
    let invalid = |message: String| Err(Error::new(ErrorKind::InvalidQuery, message));
    match key.len() {
        0 => invalid("an empty key: write a key such as `user:7`".to_owned()),
        length if length > MAX_KEY => invalid(format!(
            "a key of {length} bytes: keys have at most {MAX_KEY}; put a hash of the long part into it"
        )),
        _ if key.starts_with('~') => invalid(
            "a key that begins with `~`: that is how pie marks its own; write another character".to_owned(),
        ),
        _ => Ok(()),
    }
}

/// Tags that can be used.
///
/// # Errors
/// [`ErrorKind::InvalidQuery`] for an empty tag.
pub(crate) fn check_tag(tag: &str) -> Result<()> {
    if tag.is_empty() {
        return Err(Error::new(ErrorKind::InvalidQuery, "an empty tag: write a tag such as `users`"));
    }
    if tag.len() > MAX_KEY {
        let message = format!("a tag of {} bytes: tags have at most {MAX_KEY}", tag.len());
        return Err(Error::new(ErrorKind::InvalidQuery, message));
    }
    Ok(())
}

/// Everything the chain needs to know of a value by hand.
///
/// `namespaces` are the names of the scopes it is in.
///
/// # Errors
/// [`ErrorKind::InvalidQuery`] for a key or tag that cannot be used, or too many tags.
pub(crate) fn item(
    chain: &Chain,
    scope: &str,
    namespaces: &[StampName],
    key: &str,
    tags: &[Box<str>],
    limits: Limits,
) -> Result<Item> {
    check_key(key)?;
    let family = key.split(':').next().unwrap_or(key);
    let name = StampName::of_key(scope, key);
    let mut others = vec![StampName::new(scope, &format!("f:{family}"))];
    for tag in tags {
        check_tag(tag)?;
        let tag = StampName::new(scope, &format!("t:{tag}"));
        if !others.contains(&tag) {
            others.push(tag);
        }
    }
    others.extend_from_slice(namespaces);
    if 1 + others.len() > MAX_NAMES {
        let most = MAX_NAMES.saturating_sub(2 + namespaces.len());
        let message = format!("{} tags: a value by hand has at most {most}", tags.len());
        return Err(Error::new(ErrorKind::InvalidQuery, message));
    }
    // The name tells it from all others, and the entry has it already.
    let full = [&head(&MANUAL, KeyKind::Manual, (0, 0), FINGERPRINT), name.as_str().as_bytes()].concat();
    let lookup = Lookup { full: &full, hash: chain.stamps.hash(&full) };
    let key = Key::new(lookup, scope, key, FINGERPRINT);
    Ok(Item { key, others: Arc::new(others.into_iter().collect()), limits, codec: &CODEC, group: &MANUAL })
}
