//! What a query, its model and the engine say about the cache, and what of it holds.

use std::time::Duration;

use crate::cache::rules::Rules;
use crate::clock::millis;
use crate::engine::{CacheConfig, OnL2Down};
use crate::model::Policy;

/// What one query says about the cache; `None` leaves it to the model, then to the engine.
#[derive(Debug, Clone, Default)]
pub(crate) struct Options {
    pub(crate) enabled: Option<bool>,
    pub(crate) ttl: Option<Duration>,
    pub(crate) refresh: bool,
    pub(crate) skip_memory: bool,
    /// What few queries say; apart, so that the others need not carry it.
    more: Option<Box<More>>,
}

/// What few queries say about the cache.
#[derive(Debug, Clone, Default)]
pub(crate) struct More {
    pub(crate) jitter: Option<Duration>,
    pub(crate) empty_ttl: Option<Duration>,
    pub(crate) tags: Vec<Box<str>>,
    pub(crate) stale: Option<Duration>,
    pub(crate) stale_if_error: Option<Duration>,
    pub(crate) refresh_ahead: Option<u16>,
    pub(crate) soft_timeout: Option<Duration>,
    pub(crate) timeout: Option<Duration>,
    pub(crate) max_age: Option<Duration>,
    pub(crate) lock: Option<bool>,
    pub(crate) l2_budget: Option<Duration>,
    pub(crate) on_l2_down: Option<OnL2Down>,
}

static NOTHING_MORE: More = More {
    jitter: None,
    empty_ttl: None,
    tags: Vec::new(),
    stale: None,
    stale_if_error: None,
    refresh_ahead: None,
    soft_timeout: None,
    timeout: None,
    max_age: None,
    lock: None,
    l2_budget: None,
    on_l2_down: None,
};

impl Options {
    /// Whether they say nothing of what an answer's policy is.
    pub(crate) fn are_plain(&self) -> bool {
        let Self { enabled, ttl, refresh, skip_memory, more } = self;
        enabled.is_none() && ttl.is_none() && !refresh && !skip_memory && more.is_none()
    }

    pub(crate) fn tags(&self) -> &[Box<str>] {
        match &self.more {
            None => &[],
            Some(more) => &more.tags,
        }
    }

    /// Whether they say what few queries say.
    #[inline]
    pub(crate) fn says_more(&self) -> bool {
        self.more.is_some()
    }

    pub(crate) fn more(&mut self) -> &mut More {
        self.more.get_or_insert_default()
    }
}

/// The policy of one query, everything decided.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Effective {
    pub(crate) enabled: bool,
    pub(crate) rules: Rules,
}

impl Effective {
    /// The query's word counts more than the model's, the model's more than the engine's. `defaults` are the engine's, made
    /// once by [`defaults`].
    pub(crate) fn of(options: &Options, policy: &Policy, config: &CacheConfig, defaults: &Rules) -> Self {
        let more = options.more.as_deref().unwrap_or(&NOTHING_MORE);
        let ttl = options.ttl.or(policy.ttl).unwrap_or(config.default_ttl);
        let jitter = match more.jitter.or(policy.jitter) {
            Some(jitter) => jitter,
            // The engine's jitter is meant for the engine's ttl; of a shorter one it takes half at most.
            None if config.enable_jitter => config.ttl_jitter.min(ttl / 2),
            None => Duration::ZERO,
        };
        let enabled = options.enabled.unwrap_or(policy.enabled);
        let empty_ttl = more.empty_ttl.or(policy.empty_ttl).unwrap_or(config.empty_cache_ttl);
        let mut rules = defaults.with_ttl(ttl, jitter, empty_ttl);
        rules.refresh = options.refresh;
        rules.skip_memory = options.skip_memory;
        if policy.more || options.says_more() {
            Self::more(&mut rules, more, policy, config);
        }
        Self { enabled: enabled && !ttl.is_zero(), rules }
    }

    #[cold]
    fn more(rules: &mut Rules, more: &More, policy: &Policy, config: &CacheConfig) {
        rules.limits.stale = millis(more.stale.or(policy.stale).unwrap_or(config.stale));
        rules.limits.stale_if_error =
            millis(more.stale_if_error.or(policy.stale_if_error).unwrap_or(config.stale_if_error));
        rules.limits.max_age = more.max_age.or(policy.max_age).or(config.max_age).map_or(u64::MAX, millis);
        let ahead = more.refresh_ahead.or(policy.refresh_ahead).or(config.refresh_ahead.map(permille));
        rules.ahead = ahead.filter(|part| *part < 1_000);
        rules.soft_timeout = more.soft_timeout.or(policy.soft_timeout).or(config.soft_timeout);
        rules.timeout = more.timeout.or(policy.timeout).or(config.load_timeout);
        rules.limits.patience =
            more.l2_budget.or(policy.l2_budget).or(config.l2_budget).map_or(u64::MAX, millis);
        rules.on_l2_down = more.on_l2_down.or(policy.on_l2_down).unwrap_or(config.on_l2_down);
        let lock = more.lock.or(policy.lock).unwrap_or(config.lock);
        rules.lease = lock.then(|| millis(config.lock_lease).max(1));
    }
}

/// The rules where neither query nor model says anything.
pub(crate) fn defaults(config: &CacheConfig) -> Rules {
    let jitter = if config.enable_jitter { config.ttl_jitter } else { Duration::ZERO };
    let mut rules = Rules::new(config.default_ttl, jitter, config.empty_cache_ttl);
    Effective::more(&mut rules, &NOTHING_MORE, &Policy::ON, config);
    rules.throttle = millis(config.error_throttle);
    rules
}

/// A part of 1 as thousandths; 1,000 for what is none.
pub(crate) fn permille(part: f64) -> u16 {
    #[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "between 0 and 1,000")]
    if part.is_nan() { 1_000 } else { (part.clamp(0.0, 1.0) * 1_000.0).round() as u16 }
}
