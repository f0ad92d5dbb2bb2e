//! Durations and sizes as people write them.

use std::fmt;
use std::time::Duration;

use serde::de::{Deserializer, Error, Visitor};

/// The greatest size: what a file or an address space holds at most.
const LARGEST: u64 = i64::MAX.cast_unsigned();

fn parse_duration(text: &str) -> Result<Duration, String> {
    humantime::parse_duration(text.trim()).map_err(|_| {
        format!("`{text}` is no duration: write numbers with their units, such as `30s`, `5m` or `1h 30m`")
    })
}

fn parse_size(text: &str) -> Result<u64, String> {
    let size = text.trim().parse::<bytesize::ByteSize>().map(|size| size.as_u64());
    size.ok().filter(|size| *size <= LARGEST).ok_or_else(|| {
        format!("`{text}` is no size: write a number with its unit, such as `64MiB`, or a number of bytes")
    })
}

struct DurationVisitor;

impl Visitor<'_> for DurationVisitor {
    type Value = Duration;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a duration with its unit, such as \"30s\" or \"5m\"")
    }

    fn visit_str<E: Error>(self, text: &str) -> Result<Duration, E> {
        parse_duration(text).map_err(E::custom)
    }
}

/// Reads a duration.
pub(crate) fn duration<'de, D: Deserializer<'de>>(source: D) -> Result<Duration, D::Error> {
    source.deserialize_str(DurationVisitor)
}

/// Reads a duration that may be left out.
pub(crate) fn optional_duration<'de, D: Deserializer<'de>>(source: D) -> Result<Option<Duration>, D::Error> {
    struct Optional;

    impl<'de> Visitor<'de> for Optional {
        type Value = Option<Duration>;

        fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
            DurationVisitor.expecting(f)
        }

        fn visit_none<E: Error>(self) -> Result<Self::Value, E> {
            Ok(None)
        }

        fn visit_some<D: Deserializer<'de>>(self, source: D) -> Result<Self::Value, D::Error> {
            duration(source).map(Some)
        }
    }

    source.deserialize_option(Optional)
}

struct SizeVisitor;

impl Visitor<'_> for SizeVisitor {
    type Value = u64;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a size such as \"64MiB\", or a number of bytes")
    }

    fn visit_str<E: Error>(self, text: &str) -> Result<u64, E> {
        parse_size(text).map_err(E::custom)
    }

    fn visit_u64<E: Error>(self, bytes: u64) -> Result<u64, E> {
        Ok(bytes)
    }

    fn visit_i64<E: Error>(self, bytes: i64) -> Result<u64, E> {
        u64::try_from(bytes)
            .map_err(|_| E::custom("a size below 0: write a number of bytes, or a size such as `64MiB`"))
    }
}

/// Reads a size in bytes.
pub(crate) fn size<'de, D: Deserializer<'de>>(source: D) -> Result<u64, D::Error> {
    source.deserialize_any(SizeVisitor)
}

/// Reads a size in bytes that is counted in memory.
pub(crate) fn memory_size<'de, D: Deserializer<'de>>(source: D) -> Result<usize, D::Error> {
    usize::try_from(size(source)?).map_err(|_| D::Error::custom("a size that this machine cannot address"))
}

/// Reads a size in bytes that is counted in memory and may be left out.
#[cfg(feature = "redis")]
pub(crate) fn optional_memory_size<'de, D: Deserializer<'de>>(source: D) -> Result<Option<usize>, D::Error> {
    struct Optional;

    impl<'de> Visitor<'de> for Optional {
        type Value = Option<usize>;

        fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
            SizeVisitor.expecting(f)
        }

        fn visit_none<E: Error>(self) -> Result<Self::Value, E> {
            Ok(None)
        }

        fn visit_some<D: Deserializer<'de>>(self, source: D) -> Result<Self::Value, D::Error> {
            memory_size(source).map(Some)
        }
    }

    source.deserialize_option(Optional)
}

/// Reads text that must not stand in an error.
pub(crate) fn secret<'de, D: Deserializer<'de>>(source: D) -> Result<String, D::Error> {
    struct Secret;

    impl Visitor<'_> for Secret {
        type Value = String;

        fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
            f.write_str("text in quotes")
        }

        fn visit_str<E: Error>(self, text: &str) -> Result<String, E> {
            Ok(text.to_owned())
        }

        // The usual error of these would quote what was found.
        fn visit_bool<E: Error>(self, _: bool) -> Result<String, E> {
            Err(E::custom("expected text in quotes"))
        }

        fn visit_i64<E: Error>(self, _: i64) -> Result<String, E> {
            Err(E::custom("expected text in quotes"))
        }

        fn visit_u64<E: Error>(self, _: u64) -> Result<String, E> {
            Err(E::custom("expected text in quotes"))
        }

        fn visit_f64<E: Error>(self, _: f64) -> Result<String, E> {
            Err(E::custom("expected text in quotes"))
        }
    }

    source.deserialize_any(Secret)
}

/// Reads text that must not stand in an error and may be left out.
#[cfg(feature = "redis")]
pub(crate) fn optional_secret<'de, D: Deserializer<'de>>(source: D) -> Result<Option<String>, D::Error> {
    struct Optional;

    impl<'de> Visitor<'de> for Optional {
        type Value = Option<String>;

        fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
            f.write_str("text in quotes")
        }

        fn visit_none<E: Error>(self) -> Result<Self::Value, E> {
            Ok(None)
        }

        fn visit_some<D: Deserializer<'de>>(self, source: D) -> Result<Self::Value, D::Error> {
            secret(source).map(|text| Some(text).filter(|text| !text.is_empty()))
        }
    }

    source.deserialize_option(Optional)
}

/// Reads one text, or a list of them, that must not stand in an error.
#[cfg(feature = "redis")]
pub(crate) fn secrets<'de, D: Deserializer<'de>>(source: D) -> Result<Vec<String>, D::Error> {
    struct Secrets;

    /// One of the list.
    struct One(String);

    impl<'de> serde::Deserialize<'de> for One {
        fn deserialize<D: Deserializer<'de>>(source: D) -> Result<Self, D::Error> {
            secret(source).map(Self)
        }
    }

    impl<'de> Visitor<'de> for Secrets {
        type Value = Vec<String>;

        fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
            f.write_str("text in quotes, or a list of such")
        }

        fn visit_str<E: Error>(self, text: &str) -> Result<Self::Value, E> {
            Ok(vec![text.to_owned()])
        }

        fn visit_seq<A: serde::de::SeqAccess<'de>>(self, mut list: A) -> Result<Self::Value, A::Error> {
            let mut all = Vec::new();
            while let Some(One(secret)) = list.next_element()? {
                all.push(secret);
            }
            Ok(all)
        }
    }

    source.deserialize_any(Secrets)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_of_the_original_are_understood() {
        for (text, seconds) in
            [("5m", 300), ("10m", 600), ("30s", 30), ("2m", 120), ("1h", 3_600), ("30m", 1_800), ("1m", 60)]
        {
            assert_eq!(parse_duration(text), Ok(Duration::from_secs(seconds)));
        }
        for text in ["", "5", "-5m", "5x", "m", "99999999999999999999h", "1e3s"] {
            let error = parse_duration(text).expect_err(text);
            assert!(error.contains("`5m`"), "{error}");
        }
    }

    #[test]
    fn sizes_of_the_original_are_understood() {
        for (text, bytes) in [("50MiB", 50 << 20), ("100 MiB", 100 << 20), ("64KB", 64_000), ("1024", 1_024)]
        {
            assert_eq!(parse_size(text), Ok(bytes));
        }
        for text in ["", "-1", "-5MiB", "64Mib5", "9999999EiB", "much"] {
            assert!(parse_size(text).is_err(), "{text}");
        }
    }
}
