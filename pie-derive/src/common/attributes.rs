//! `#[pie(...)]` as a list of keys, each with its value and its span.

use std::ops::Range;

use proc_macro2::Span;
use syn::punctuated::Punctuated;
use syn::spanned::Spanned;
use syn::{Attribute, Expr, ExprLit, Lit, Meta, Token};

use super::errors::Errors;

/// One `key`, `key = value` or `key(...)` of an attribute.
#[derive(Debug)]
pub(crate) struct Entry {
    pub(crate) key: String,
    pub(crate) span: Span,
    pub(crate) meta: Meta,
}

/// All entries of the attributes with this name, in order.
pub(crate) fn entries(attributes: &[Attribute], name: &str, errors: &mut Errors) -> Vec<Entry> {
    let mut out = Vec::new();
    for attribute in attributes.iter().filter(|attribute| attribute.path().is_ident(name)) {
        if let Meta::Path(path) = &attribute.meta {
            errors.push(
                path,
                format!("`#[{name}]` says nothing: write what is meant in brackets, such as `#[{name}(id)]`"),
            );
            continue;
        }
        let list = match &attribute.meta {
            Meta::NameValue(pair) => {
                let message = format!("`#[{name}]` takes brackets: write `#[{name}(id)]`");
                errors.add(syn::Error::new(pair.eq_token.span, message));
                continue;
            }
            _ => attribute.parse_args_with(Punctuated::<Meta, Token![,]>::parse_terminated),
        };
        if let Some(list) = errors.keep(list.map_err(|error| with_example(&error, name, "id, auto"))) {
            out.extend(list.into_iter().map(entry));
        }
    }
    out
}

/// What the parser says, and what an attribute looks like.
pub(crate) fn with_example(error: &syn::Error, name: &str, inside: &str) -> syn::Error {
    syn::Error::new(error.span(), format!("{error}: write a list with commas, such as `#[{name}({inside})]`"))
}

/// An entry of a parsed list.
pub(crate) fn entry(meta: Meta) -> Entry {
    let path = meta.path();
    let key = path.segments.iter().map(|segment| segment.ident.to_string()).collect::<Vec<_>>().join("::");
    Entry { key, span: path.span(), meta }
}

/// A value that another macro has handed on, as it was written.
fn bare(value: &Expr) -> &Expr {
    match value {
        Expr::Group(group) => bare(&group.expr),
        value => value,
    }
}

impl Entry {
    /// A key without a value.
    pub(crate) fn flag(&self, errors: &mut Errors) {
        if !matches!(self.meta, Meta::Path(_)) {
            errors.push(&self.meta, format!("`{0}` takes no value: write `{0}`", self.key));
        }
    }

    /// The expression of `key = value`.
    pub(crate) fn value(&self, example: &str) -> syn::Result<&Expr> {
        match &self.meta {
            Meta::NameValue(pair) => Ok(bare(&pair.value)),
            _ => Err(syn::Error::new_spanned(
                &self.meta,
                format!("`{}` takes a value: write `{example}`", self.key),
            )),
        }
    }

    /// The text of `key = "text"`.
    pub(crate) fn text(&self, example: &str) -> syn::Result<syn::LitStr> {
        match self.value(example)? {
            Expr::Lit(ExprLit { lit: Lit::Str(text), .. }) => Ok(text.clone()),
            other => {
                Err(syn::Error::new_spanned(other, format!("`{}` takes a text: write `{example}`", self.key)))
            }
        }
    }

    /// The items of `key(a, b)`.
    pub(crate) fn list<T: syn::parse::Parse>(&self, example: &str) -> syn::Result<Vec<T>> {
        match &self.meta {
            Meta::List(list) => {
                let items = list
                    .parse_args_with(Punctuated::<T, Token![,]>::parse_terminated)
                    .map_err(|error| syn::Error::new(error.span(), format!("{error}: write `{example}`")))?;
                if items.is_empty() {
                    return Err(syn::Error::new_spanned(
                        list,
                        format!("`{}` is empty: write `{example}`", self.key),
                    ));
                }
                Ok(items.into_iter().collect())
            }
            other => {
                Err(syn::Error::new_spanned(other, format!("`{}` takes a list: write `{example}`", self.key)))
            }
        }
    }
}

/// Reports every key that stands more than once, at its second place.
pub(crate) fn refuse_repeated(entries: &[Entry], may_repeat: &[&str], errors: &mut Errors) {
    for (i, entry) in entries.iter().enumerate() {
        let repeated = entries[..i].iter().any(|before| before.key == entry.key);
        if repeated && !may_repeat.contains(&entry.key.as_str()) {
            errors.add(syn::Error::new(
                entry.span,
                format!("`{}` is given twice: remove one of them", entry.key),
            ));
        }
    }
}

/// The place of a part of a text, in bytes of its value, where the compiler can tell (nightly): else the whole text.
pub(crate) fn within(text: &syn::LitStr, part: Range<usize>) -> Span {
    exactly_within(text, part).unwrap_or_else(|| text.span())
}

/// The place of a part of a text; nothing where the compiler cannot tell.
pub(crate) fn exactly_within(text: &syn::LitStr, part: Range<usize>) -> Option<Span> {
    let (token, value) = (text.token(), text.value());
    let source = token.to_string();
    let begin = source.find('"').map_or(0, |quote| quote + 1);
    // With an escape in it, bytes of the value are not bytes of the source.
    let plain = source.get(begin..).is_some_and(|rest| rest.starts_with(&value));
    plain.then(|| token.subspan(begin + part.start..begin + part.end)).flatten()
}

/// A name of a table or column, which becomes part of cache keys.
pub(crate) fn name(text: &syn::LitStr, what: &str) -> syn::Result<String> {
    let value = text.value();
    if value.is_empty() {
        return Err(syn::Error::new(
            text.span(),
            format!("an empty {what} name: write one, or leave the key away"),
        ));
    }
    if let Some((at, bad)) =
        value.char_indices().find(|(_, c)| c.is_control() || ":%*?[]\\,@~+=".contains(*c))
    {
        return Err(syn::Error::new(
            within(text, at..at + bad.len_utf8()),
            format!("`{}` in a {what} name has a meaning in cache keys: leave it away", bad.escape_default()),
        ));
    }
    Ok(value)
}
