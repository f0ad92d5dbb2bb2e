//! `ttl`, `jitter`, `empty_ttl`, `stale`, `tags` and the rest: what `#[cached(...)]` on a struct says.

use proc_macro2::{Span, TokenStream};
use quote::quote;
use syn::{Expr, ExprLit, Lit, LitStr};

use super::attributes::{Entry, refuse_repeated};
use super::duration;
use super::errors::Errors;
use super::suggest;

pub(crate) const KEYS: [&str; 15] = [
    "ttl",
    "jitter",
    "empty_ttl",
    "stale",
    "stale_if_error",
    "refresh_ahead",
    "soft_timeout",
    "timeout",
    "max_age",
    "l2_budget",
    "on_l2_down",
    "lock",
    "max_loads",
    "tags",
    "enabled",
];

/// A checked policy; durations in milliseconds.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct PolicyIr {
    pub(crate) enabled: bool,
    pub(crate) ttl: Option<u64>,
    pub(crate) jitter: Option<u64>,
    pub(crate) empty_ttl: Option<u64>,
    pub(crate) stale: Option<u64>,
    pub(crate) stale_if_error: Option<u64>,
    /// In thousandths.
    pub(crate) refresh_ahead: Option<u16>,
    pub(crate) soft_timeout: Option<u64>,
    pub(crate) timeout: Option<u64>,
    pub(crate) max_age: Option<u64>,
    pub(crate) l2_budget: Option<u64>,
    /// The name of the variant.
    pub(crate) on_l2_down: Option<&'static str>,
    pub(crate) lock: Option<bool>,
    pub(crate) max_loads: Option<u32>,
    pub(crate) tags: Vec<String>,
}

impl Default for PolicyIr {
    fn default() -> Self {
        Self {
            enabled: true,
            ttl: None,
            jitter: None,
            empty_ttl: None,
            stale: None,
            stale_if_error: None,
            refresh_ahead: None,
            soft_timeout: None,
            timeout: None,
            max_age: None,
            l2_budget: None,
            on_l2_down: None,
            lock: None,
            max_loads: None,
            tags: Vec::new(),
        }
    }
}

fn duration_of(entry: &Entry, errors: &mut Errors) -> Option<(u64, Span)> {
    let example = format!("{} = \"5m\"", entry.key);
    let value = errors.keep(entry.value(&example))?;
    let ms = errors.keep(duration::of_expr(&entry.key, value))?;
    Some((ms, syn::spanned::Spanned::span(value)))
}

/// A duration that cannot be zero.
fn some_time(entry: &Entry, errors: &mut Errors) -> Option<u64> {
    let (ms, span) = duration_of(entry, errors)?;
    if ms == 0 {
        let message =
            format!("`{}` of zero lets nothing through: write a duration such as \"500ms\"", entry.key);
        errors.add(syn::Error::new(span, message));
        return None;
    }
    Some(ms)
}

fn flag_of(entry: &Entry, errors: &mut Errors) -> Option<bool> {
    match errors.keep(entry.value(&format!("{} = true", entry.key)))? {
        Expr::Lit(ExprLit { lit: Lit::Bool(value), .. }) => Some(value.value),
        other => {
            errors.push(other, format!("`{0}` is `true` or `false`: write `{0} = true`", entry.key));
            None
        }
    }
}

/// A part of 1 as thousandths.
fn part_of(entry: &Entry, errors: &mut Errors) -> Option<u16> {
    let value = errors.keep(entry.value("refresh_ahead = 0.8"))?;
    let part = match value {
        Expr::Lit(ExprLit { lit: Lit::Float(number), .. }) => number.base10_parse::<f64>().ok(),
        _ => None,
    };
    let part = part.map(|part| (part * 1_000.0).round()).filter(|part| (1.0..1_000.0).contains(part));
    #[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "between 1 and 999")]
    let part = part.map(|part| part as u16);
    if part.is_none() {
        errors.push(
            value,
            "`refresh_ahead` is a part of the ttl between 0 and 1: write `refresh_ahead = 0.8` for the last fifth",
        );
    }
    part
}

fn number_of(entry: &Entry, errors: &mut Errors) -> Option<u32> {
    let value = errors.keep(entry.value("max_loads = 16"))?;
    let number = match value {
        Expr::Lit(ExprLit { lit: Lit::Int(number), .. }) => number.base10_parse::<u32>().ok(),
        _ => None,
    };
    let number = number.filter(|number| *number > 0);
    if number.is_none() {
        errors
            .push(value, "`max_loads` is how many loads may run at once, 1 or more: write `max_loads = 16`");
    }
    number
}

/// What to do when a shared layer fails, as the name of the variant.
fn fallback_of(entry: &Entry, errors: &mut Errors) -> Option<&'static str> {
    let value = errors.keep(entry.value("on_l2_down = \"stale\""))?;
    let text = match value {
        Expr::Lit(ExprLit { lit: Lit::Str(text), .. }) => text.value(),
        _ => String::new(),
    };
    match text.as_str() {
        "database" => Some("Database"),
        "stale" => Some("Stale"),
        "fail" => Some("Fail"),
        _ => {
            errors.push(
                value,
                "`on_l2_down` is what a read does while Redis cannot be used: write \"database\", \"stale\" or \"fail\"",
            );
            None
        }
    }
}

fn tag(text: &LitStr) -> syn::Result<String> {
    let value = text.value();
    if value.is_empty() {
        return Err(syn::Error::new(text.span(), "an empty tag: write a word such as \"users\""));
    }
    if value.contains(['*', '?', '[', ']', '{', '}']) {
        return Err(syn::Error::new(
            text.span(),
            "a tag of a model is a plain text, without placeholders and patterns: write a word such as \"users\"",
        ));
    }
    Ok(value)
}

/// Keys that a function has and a model has not.
const OF_FUNCTIONS: [&str; 8] = ["key", "name", "skip", "depends", "via", "if", "version", "companions"];

fn unknown(key: &str) -> String {
    if OF_FUNCTIONS.contains(&key) {
        return format!(
            "`{key}` is for functions: a model's rows have their keys and their engine already; leave it away"
        );
    }
    if key == "crate" {
        return "`crate` goes with the model: write `#[pie(crate = …)]` on the struct".to_owned();
    }
    suggest::unknown_key(key, "`#[cached]` on a model", &KEYS)
}

/// The policy of the entries of one `#[cached(...)]`.
pub(crate) fn parse(entries: &[Entry], errors: &mut Errors) -> PolicyIr {
    refuse_repeated(entries, &[], errors);
    let mut policy = PolicyIr::default();
    let mut jitter_at = None;
    for entry in entries {
        match entry.key.as_str() {
            "ttl" => {
                if let Some((ms, span)) = duration_of(entry, errors) {
                    if ms == 0 {
                        errors.add(syn::Error::new(
                            span,
                            "a ttl of zero caches nothing: write a duration such as \"5m\", or `enabled = false`",
                        ));
                    } else {
                        policy.ttl = Some(ms);
                    }
                }
            }
            "jitter" => {
                if let Some((ms, span)) = duration_of(entry, errors) {
                    policy.jitter = Some(ms);
                    jitter_at = Some(span);
                }
            }
            "empty_ttl" => policy.empty_ttl = duration_of(entry, errors).map(|(ms, _)| ms),
            "tags" => {
                for text in errors.keep(entry.list::<LitStr>("tags(\"users\")")).unwrap_or_default() {
                    if let Some(tag) = errors.keep(tag(&text)) {
                        if policy.tags.contains(&tag) {
                            errors.push(&text, format!("tag \"{tag}\" is given twice: remove one of them"));
                        } else {
                            policy.tags.push(tag);
                        }
                    }
                }
            }
            "stale" => policy.stale = duration_of(entry, errors).map(|(ms, _)| ms),
            "stale_if_error" => policy.stale_if_error = duration_of(entry, errors).map(|(ms, _)| ms),
            "refresh_ahead" => policy.refresh_ahead = part_of(entry, errors),
            "soft_timeout" => policy.soft_timeout = some_time(entry, errors),
            "timeout" => policy.timeout = some_time(entry, errors),
            "max_age" => policy.max_age = some_time(entry, errors),
            "l2_budget" => policy.l2_budget = some_time(entry, errors),
            "on_l2_down" => policy.on_l2_down = fallback_of(entry, errors),
            "lock" => policy.lock = flag_of(entry, errors),
            "max_loads" => policy.max_loads = number_of(entry, errors),
            "enabled" => policy.enabled = flag_of(entry, errors).unwrap_or(true),
            other => errors.add(syn::Error::new(entry.span, unknown(other))),
        }
    }
    if let (Some(ttl), Some(jitter), Some(span)) = (policy.ttl, policy.jitter, jitter_at)
        && jitter >= ttl
    {
        errors.add(syn::Error::new(
            span,
            "the jitter is not shorter than the ttl: some values would live no time at all; write a shorter one",
        ));
        policy.jitter = None;
    }
    policy
}

/// The policy as a constant expression.
pub(crate) fn tokens(policy: Option<&PolicyIr>, p: &TokenStream) -> TokenStream {
    let Some(policy) = policy else {
        return quote!(#p::Policy::OFF);
    };
    let PolicyIr { enabled, ttl, jitter, empty_ttl, stale, stale_if_error, refresh_ahead, .. } = policy;
    let PolicyIr { soft_timeout, timeout, max_age, l2_budget, on_l2_down, lock, max_loads, tags, .. } =
        policy;
    let mut out = quote!(#p::Policy::ON);
    if !enabled {
        out.extend(quote!(.enabled(false)));
    }
    if let Some(ms) = ttl {
        out.extend(quote!(.ttl_ms(#ms)));
    }
    if let Some(ms) = jitter {
        out.extend(quote!(.jitter_ms(#ms)));
    }
    if let Some(ms) = empty_ttl {
        out.extend(quote!(.empty_ttl_ms(#ms)));
    }
    for (method, ms) in [
        (quote!(stale_ms), stale),
        (quote!(stale_if_error_ms), stale_if_error),
        (quote!(soft_timeout_ms), soft_timeout),
        (quote!(timeout_ms), timeout),
        (quote!(max_age_ms), max_age),
        (quote!(l2_budget_ms), l2_budget),
    ] {
        if let Some(ms) = ms {
            out.extend(quote!(.#method(#ms)));
        }
    }
    if let Some(permille) = refresh_ahead {
        out.extend(quote!(.refresh_ahead_permille(#permille)));
    }
    if let Some(what) = on_l2_down {
        let what = quote::format_ident!("{what}");
        out.extend(quote!(.on_l2_down(#p::OnL2Down::#what)));
    }
    if let Some(lock) = lock {
        out.extend(quote!(.lock(#lock)));
    }
    if let Some(loads) = max_loads {
        out.extend(quote!(.max_loads(#loads)));
    }
    if !tags.is_empty() {
        out.extend(quote!(.tags(&[#(#tags),*])));
    }
    out
}
