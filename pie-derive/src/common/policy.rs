//! `ttl`, `jitter`, `empty_ttl`, `tags`, `enabled`: what `#[cached(...)]` on a struct says.

use proc_macro2::{Span, TokenStream};
use quote::quote;
use syn::{Expr, ExprLit, Lit, LitStr};

use super::attributes::{Entry, refuse_repeated};
use super::duration;
use super::errors::Errors;
use super::suggest;

const KEYS: [&str; 5] = ["ttl", "jitter", "empty_ttl", "tags", "enabled"];

/// A checked policy; durations in milliseconds.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct PolicyIr {
    pub(crate) enabled: bool,
    pub(crate) ttl: Option<u64>,
    pub(crate) jitter: Option<u64>,
    pub(crate) empty_ttl: Option<u64>,
    pub(crate) tags: Vec<String>,
}

fn duration_of(entry: &Entry, errors: &mut Errors) -> Option<(u64, Span)> {
    let example = format!("{} = \"5m\"", entry.key);
    let value = errors.keep(entry.value(&example))?;
    let ms = errors.keep(duration::of_expr(&entry.key, value))?;
    Some((ms, syn::spanned::Spanned::span(value)))
}

fn tag(text: &LitStr) -> syn::Result<String> {
    let value = text.value();
    if value.is_empty() {
        return Err(syn::Error::new(text.span(), "an empty tag: write a word such as \"users\""));
    }
    if value.contains(['*', '?', '[', ']', '{', '}']) {
        return Err(syn::Error::new(
            text.span(),
            "a tag of a model is a plain text: placeholders and patterns have no meaning here",
        ));
    }
    Ok(value)
}

/// The policy of the entries of one `#[cached(...)]`.
pub(crate) fn parse(entries: &[Entry], errors: &mut Errors) -> PolicyIr {
    refuse_repeated(entries, &[], errors);
    let mut policy = PolicyIr { enabled: true, ttl: None, jitter: None, empty_ttl: None, tags: Vec::new() };
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
            "enabled" => match errors.keep(entry.value("enabled = false")) {
                Some(Expr::Lit(ExprLit { lit: Lit::Bool(value), .. })) => policy.enabled = value.value,
                Some(other) => errors.push(other, "`enabled` is `true` or `false`"),
                None => {}
            },
            other => {
                errors.add(syn::Error::new(entry.span, suggest::unknown("key of `#[cached]`", other, &KEYS)))
            }
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
    let Some(PolicyIr { enabled, ttl, jitter, empty_ttl, tags }) = policy else {
        return quote!(#p::Policy::OFF);
    };
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
    if !tags.is_empty() {
        out.extend(quote!(.tags(&[#(#tags),*])));
    }
    out
}
