//! `"profile:{id}:{user.name}"`: fixed parts and values, checked when the program is compiled.

use proc_macro2::{Span, TokenStream};
use quote::{ToTokens, quote_spanned};
use syn::{Ident, LitStr};

/// What a template is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Purpose {
    Key,
    Tag,
    Pattern,
}

/// One part.
#[derive(Debug, Clone)]
pub(super) enum Part {
    Literal(String),
    /// An argument, or a field of one.
    Value(TokenStream),
}

#[derive(Debug, Clone)]
pub(super) struct Template {
    pub(super) parts: Vec<Part>,
    /// The arguments that stand in it.
    pub(super) arguments: Vec<String>,
}

/// What a template may name.
pub(super) struct Names<'n> {
    pub(super) arguments: &'n [Ident],
    pub(super) receiver: bool,
}

fn error(span: Span, message: impl std::fmt::Display) -> syn::Error {
    syn::Error::new(span, message)
}

/// The value of a placeholder: `id`, `user.name`, `self.tenant`, `pair.0`.
fn value(text: &str, names: &Names<'_>, span: Span) -> syn::Result<(TokenStream, String)> {
    if text.is_empty() {
        return Err(error(span, "`{}` names nothing: write an argument in it, such as `{id}`"));
    }
    let mut path = text.split('.');
    let first = path.next().unwrap_or_default();
    let known = |ident: &&Ident| {
        let ident = ident.to_string();
        ident.trim_start_matches("r#") == first.trim_start_matches("r#")
    };
    let root = if first == "self" && names.receiver {
        Ident::new("self", span).into_token_stream()
    } else if let Some(argument) = names.arguments.iter().find(known) {
        let mut argument = argument.clone();
        argument.set_span(span.resolved_at(argument.span()));
        argument.into_token_stream()
    } else {
        let all: Vec<String> = names.arguments.iter().map(|name| format!("`{{{name}}}`")).collect();
        let there = if all.is_empty() {
            "there are no arguments".to_owned()
        } else {
            format!("there is {}", all.join(", "))
        };
        return Err(error(span, format!("`{{{text}}}` is no argument of this function: {there}")));
    };
    let mut tokens = root;
    for field in path {
        let member: syn::Member = syn::parse_str(field).map_err(|_| {
            error(span, format!("`{field}` in `{{{text}}}` is no field: write a name or a number"))
        })?;
        tokens = quote_spanned!(span=> #tokens.#member);
    }
    Ok((tokens, first.to_owned()))
}

/// What a literal part may not hold.
fn check(part: &str, purpose: Purpose, span: Span) -> syn::Result<()> {
    let bad = part.chars().find(|c| {
        c.is_control()
            || match purpose {
                Purpose::Key => "*?[]\\%~@,".contains(*c),
                Purpose::Tag => "*?[]".contains(*c),
                Purpose::Pattern => false,
            }
    });
    match (bad, purpose) {
        (None, _) => Ok(()),
        (Some(c), Purpose::Key) if "*?[]\\".contains(c) => Err(error(
            span,
            format!(
                "`{c}` in a key: it would be a pattern; write a plain key, and patterns in `patterns(…)` of `#[invalidates]`"
            ),
        )),
        (Some(c), Purpose::Tag) if "*?[]".contains(c) => {
            Err(error(span, format!("`{c}` in a tag: tags are no patterns; write a plain word")))
        }
        (Some(c), _) => Err(error(
            span,
            format!("`{}` has a meaning of its own in keys: write another character", c.escape_default()),
        )),
    }
}

pub(super) fn parse(text: &LitStr, purpose: Purpose, names: &Names<'_>) -> syn::Result<Template> {
    let (span, source) = (text.span(), text.value());
    let mut parts: Vec<Part> = Vec::new();
    let mut arguments = Vec::new();
    let mut rest = source.as_str();
    let mut literal = String::new();
    if source.is_empty() {
        return Err(error(span, "an empty text: write one such as \"profile:{id}\""));
    }
    while let Some(at) = rest.find(['{', '}']) {
        literal.push_str(&rest[..at]);
        let brace = &rest[at..=at];
        if rest[at + 1..].starts_with(brace) {
            literal.push_str(brace);
            rest = &rest[at + 2..];
            continue;
        }
        if brace == "}" {
            return Err(error(span, "a `}` without its `{`: write `}}` for the character itself"));
        }
        let Some(end) = rest[at..].find('}').map(|end| at + end) else {
            return Err(error(span, "a `{` without its `}`: write `{{` for the character itself"));
        };
        if !literal.is_empty() {
            check(&literal, purpose, span)?;
            parts.push(Part::Literal(std::mem::take(&mut literal)));
        }
        if purpose == Purpose::Key
            && let [.., Part::Value(_)] = &parts[..]
        {
            return Err(error(
                span,
                "two values stand side by side, and could be taken for others: write a `:` between them",
            ));
        }
        if purpose == Purpose::Key
            && let [.., Part::Value(_), Part::Literal(between)] = &parts[..]
            && !between.contains(':')
        {
            return Err(error(
                span,
                format!(
                    "`{between}` between two values could be part of one of them: write a `:` between them"
                ),
            ));
        }
        let (tokens, argument) = value(rest[at + 1..end].trim(), names, span)?;
        parts.push(Part::Value(tokens));
        arguments.push(argument);
        rest = &rest[end + 1..];
    }
    literal.push_str(rest);
    if !literal.is_empty() {
        check(&literal, purpose, span)?;
        parts.push(Part::Literal(literal));
    }
    Ok(Template { parts, arguments })
}
