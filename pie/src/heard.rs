//! Spans that are made only where somebody may hear of them.

use tracing::Span;

/// A span of the level `DEBUG`, or none where nobody would hear of it: no subscriber of `tracing`, and no logger, which `tracing` tells of
/// spans where sqlx has switched that on. One that nobody hears of is still a text and a walk through its fields; this is a look at two
/// numbers.
#[inline(always)]
pub(crate) fn span(make: impl FnOnce() -> Span) -> Span {
    if is_heard() { make() } else { Span::none() }
}

#[inline(always)]
fn is_heard() -> bool {
    #[cfg(any(feature = "sqlite", feature = "postgres", feature = "mysql"))]
    let logged = log::max_level() >= log::LevelFilter::Debug;
    // Who else switched it on cannot be known.
    #[cfg(not(any(feature = "sqlite", feature = "postgres", feature = "mysql")))]
    let logged = true;
    logged || tracing::level_enabled!(tracing::Level::DEBUG)
}
