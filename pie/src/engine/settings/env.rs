//! Variables of the environment as a source for serde: one map of texts for each section.

use std::collections::BTreeMap;
use std::fmt::Display;

use serde::de::value::{Error as ValueError, MapDeserializer};
use serde::de::{Deserialize, Deserializer, Error as _, IntoDeserializer, Visitor};

use super::{Settings, invalid};
use crate::error::Result;

/// One variable.
#[derive(Clone)]
struct Variable {
    name: String,
    text: String,
}

impl Variable {
    /// An error that names the variable.
    fn error(&self, what: impl Display) -> ValueError {
        ValueError::custom(format_args!("`{}`: {what}", self.name))
    }

    fn named<T>(&self, outcome: std::result::Result<T, ValueError>) -> std::result::Result<T, ValueError> {
        outcome.map_err(|error| self.error(error))
    }
}

impl IntoDeserializer<'_, ValueError> for Variable {
    type Deserializer = Self;

    fn into_deserializer(self) -> Self {
        self
    }
}

/// Reads numbers and truth values out of texts.
macro_rules! parsed {
    ($($method:ident $visit:ident $what:literal),* $(,)?) => {$(
        fn $method<V: Visitor<'de>>(self, visitor: V) -> std::result::Result<V::Value, ValueError> {
            match self.text.trim().parse() {
                Ok(value) => self.named(visitor.$visit(value)),
                Err(_) => Err(self.error(concat!("write ", $what))),
            }
        }
    )*};
}

impl<'de> Deserializer<'de> for Variable {
    type Error = ValueError;

    fn deserialize_any<V: Visitor<'de>>(self, visitor: V) -> std::result::Result<V::Value, ValueError> {
        let outcome = visitor.visit_str(&self.text);
        self.named(outcome)
    }

    fn deserialize_option<V: Visitor<'de>>(self, visitor: V) -> std::result::Result<V::Value, ValueError> {
        // An empty variable is one that is not set.
        if self.text.is_empty() { visitor.visit_none() } else { visitor.visit_some(self) }
    }

    fn deserialize_enum<V: Visitor<'de>>(
        self,
        name: &'static str,
        variants: &'static [&'static str],
        visitor: V,
    ) -> std::result::Result<V::Value, ValueError> {
        let source: serde::de::value::StrDeserializer<'_, ValueError> =
            self.text.as_str().into_deserializer();
        self.named(source.deserialize_enum(name, variants, visitor))
    }

    parsed! {
        deserialize_bool visit_bool "`true` or `false`",
        deserialize_i64 visit_i64 "a whole number",
        deserialize_u32 visit_u32 "a whole number of 0 or more",
        deserialize_u64 visit_u64 "a whole number of 0 or more",
        deserialize_f64 visit_f64 "a number",
    }

    serde::forward_to_deserialize_any! {
        i8 i16 i32 i128 u8 u16 u128 f32 char str string bytes byte_buf unit unit_struct newtype_struct seq tuple
        tuple_struct map struct identifier ignored_any
    }
}

type Section = BTreeMap<String, Variable>;

fn section<T: for<'de> Deserialize<'de>>(
    found: &mut BTreeMap<String, Section>,
    name: &str,
) -> Result<Option<T>> {
    let Some(fields) = found.remove(name) else { return Ok(None) };
    T::deserialize(MapDeserializer::new(fields.into_iter())).map(Some).map_err(|error: ValueError| {
        invalid(format!("the environment's settings of `{name}` cannot be used: {error}"))
    })
}

/// Settings from variables with this prefix.
pub(super) fn read(prefix: &str, variables: impl Iterator<Item = (String, String)>) -> Result<Settings> {
    const SECTIONS: [&str; 4] = ["database", "cache", "memory", "redis"];
    let mut found: BTreeMap<String, Section> = BTreeMap::new();
    for (name, text) in variables {
        let Some(rest) = name.strip_prefix(prefix).and_then(|rest| rest.strip_prefix('_')) else { continue };
        let rest = rest.to_ascii_lowercase();
        let Some((of, field)) = rest.split_once('_').filter(|(of, _)| SECTIONS.contains(of)) else {
            return Err(invalid(format!(
                "the variable `{name}` is no setting: write `{prefix}_DATABASE_…`, `{prefix}_CACHE_…`, \
                 `{prefix}_MEMORY_…` or `{prefix}_REDIS_…`, for example `{prefix}_CACHE_DEFAULT_TTL`"
            )));
        };
        found.entry(of.to_owned()).or_default().insert(field.to_owned(), Variable { name, text });
    }
    #[cfg(not(feature = "redis"))]
    if found.contains_key("redis") {
        return Err(invalid(format!(
            "`{prefix}_REDIS_…` is set, but pie is built without its feature `redis`"
        )));
    }
    Ok(Settings {
        database: section(&mut found, "database")?,
        cache: section(&mut found, "cache")?,
        memory: section(&mut found, "memory")?,
        #[cfg(feature = "redis")]
        redis: section(&mut found, "redis")?,
    })
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::error::ErrorKind;

    #[test]
    fn every_kind_of_setting_is_read() {
        let settings = Settings::from_vars(
            "SHOP",
            [
                ("SHOP_DATABASE_URL", "sqlite::memory:"),
                ("SHOP_DATABASE_MAX_CONNECTIONS", "4"),
                ("SHOP_CACHE_ENABLED", "false"),
                ("SHOP_CACHE_DEFAULT_TTL", "10m"),
                ("SHOP_CACHE_REFRESH_AHEAD", "0.8"),
                ("SHOP_CACHE_MAX_LOADS", "8"),
                ("SHOP_CACHE_MAX_AGE", ""),
                ("SHOP_CACHE_MAX_ENTRY_SIZE", "2MiB"),
                ("SHOP_CACHE_ON_DETACHED", "bypass"),
                ("SHOP_MEMORY_MAX_BYTES", "50MiB"),
                ("SHOPPING_CACHE_ENABLED", "another program's"),
            ],
        )
        .expect("valid");
        let cache = settings.cache.expect("given");
        assert!(!cache.enabled);
        assert_eq!(cache.default_ttl, Duration::from_secs(600));
        assert_eq!((cache.refresh_ahead, cache.max_loads, cache.max_age), (Some(0.8), Some(8), None));
        assert_eq!(cache.max_entry_size, 2 << 20);
        assert_eq!(settings.database.expect("given").max_connections, 4);
        assert_eq!(settings.memory.expect("given").max_bytes, 50 << 20);
    }

    #[test]
    fn what_is_wrong_names_the_variable() {
        for (name, value, wanted) in [
            ("SHOP_CACHE_DEFAULT_TTL", "5", "such as `30s`"),
            ("SHOP_CACHE_DEFAULT_TTL", "-5m", "`-5m` is no duration"),
            ("SHOP_CACHE_ENABLED", "yes", "`true` or `false`"),
            ("SHOP_CACHE_DEFALT_TTL", "5m", "`default_ttl`"),
            ("SHOP_CACHE_MAX_LOADS", "-1", "a whole number"),
            ("SHOP_CACHE_ON_DETACHED", "explode", "`bypass`"),
            ("SHOP_CASH_DEFAULT_TTL", "5m", "SHOP_CACHE_"),
            ("SHOP_MEMORY_MAX_BYTES", "-5", "is no size"),
        ] {
            let error = Settings::from_vars("SHOP", [(name, value)]).expect_err(name);
            assert_eq!(error.kind(), ErrorKind::InvalidConfig);
            let text = error.to_string();
            assert!(text.contains(wanted), "{text}");
            assert!(name.contains("DEFALT") || text.contains(name), "{text}");
        }
    }
}
