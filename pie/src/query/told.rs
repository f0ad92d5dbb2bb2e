//! Who answered, and what else a reader is told of an answer, in one word: an answer is returned at each hit, and should be small.

use std::fmt;
use std::sync::{PoisonError, RwLock};
use std::time::Duration;

/// Who answered.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Source {
    /// The memory layer of this process.
    Memory,
    /// Redis.
    Redis,
    /// A layer of your own, by its name.
    Layer(&'static str),
    /// The database, or the closure of `get_or_load`.
    Database,
}

impl Source {
    /// The name in words: `memory`, `redis`, `database`, or that of the layer.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Memory => "memory",
            Self::Redis => "redis",
            Self::Layer(name) => name,
            Self::Database => "database",
        }
    }
}

impl fmt::Display for Source {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}

/// The names of layers by their numbers, which begin behind those of [`Source`]'s own.
static NAMES: RwLock<Vec<&'static str>> = RwLock::new(Vec::new());

/// How many names are told apart.
const MOST_NAMES: usize = 1 << 15;

impl Source {
    /// Its number in this process.
    pub(crate) fn number(self) -> u16 {
        let name = match self {
            Self::Memory => return 0,
            Self::Redis => return 1,
            Self::Database => return 2,
            Self::Layer(name) => name,
        };
        let find = |names: &[&str]| names.iter().position(|known| *known == name);
        let known = find(&NAMES.read().unwrap_or_else(PoisonError::into_inner));
        let at = known.unwrap_or_else(|| {
            let mut names = NAMES.write().unwrap_or_else(PoisonError::into_inner);
            find(&names).unwrap_or_else(|| {
                if names.len() < MOST_NAMES {
                    names.push(name);
                }
                names.len() - 1
            })
        });
        u16::try_from(at + 3).unwrap_or(u16::MAX)
    }

    fn of(number: u16) -> Self {
        match number {
            0 => Self::Memory,
            1 => Self::Redis,
            2 => Self::Database,
            _ => {
                let names = NAMES.read().unwrap_or_else(PoisonError::into_inner);
                Self::Layer(names.get(usize::from(number) - 3).copied().unwrap_or("layer"))
            }
        }
    }
}

/// Who answered, how old the value is, and whether it is past its time to live.
///
/// From the lowest bit on: 47 bits of milliseconds, 1 for past its time, 16 of [`Source::number`].
#[derive(Clone, Copy)]
pub(crate) struct Told(u64);

impl Told {
    const MOST_AGE: u64 = (1 << 47) - 1;
    const STALE: u64 = 1 << 47;

    /// Loaded from the database just now.
    pub(crate) const LOADED: Self = Self(2 << 48);

    /// `source` is the number of who answered, `age` is in milliseconds.
    #[inline]
    pub(crate) fn new(source: u16, age: u64, stale: bool) -> Self {
        Self(u64::from(source) << 48 | u64::from(stale) << 47 | age.min(Self::MOST_AGE))
    }

    pub(crate) fn source(self) -> Source {
        Source::of(u16::try_from(self.0 >> 48).unwrap_or_default())
    }

    pub(crate) fn age(self) -> Duration {
        Duration::from_millis(self.0 & Self::MOST_AGE)
    }

    pub(crate) fn is_stale(self) -> bool {
        self.0 & Self::STALE != 0
    }
}

impl fmt::Debug for Told {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Told")
            .field("source", &self.source())
            .field("age", &self.age())
            .field("stale", &self.is_stale())
            .finish()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_told_is_what_was_said() {
        for source in
            [Source::Memory, Source::Redis, Source::Database, Source::Layer("disk"), Source::Layer("map")]
        {
            for age in [0, 1, 86_400_000 * 365] {
                for stale in [false, true] {
                    let told = Told::new(source.number(), age, stale);
                    let said = (told.source(), told.age(), told.is_stale());
                    assert_eq!(said, (source, Duration::from_millis(age), stale));
                }
            }
        }
        assert_eq!(Told::LOADED.source(), Source::Database);
        assert_eq!(Told::new(0, u64::MAX, false).source(), Source::Memory);
    }
}
