//! `"profile:{id}:{user.name}"`: fixed parts and values, checked when the program is compiled.

use proc_macro2::{Span, TokenStream};
use quote::{ToTokens, quote_spanned};
use syn::ext::IdentExt;
use syn::{Ident, LitStr};

use crate::common::attributes::{exactly_within, within};
use crate::common::suggest::nearest;

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
    /// The one that is the engine.
    pub(super) handle: Option<&'n Ident>,
    pub(super) receiver: bool,
}

fn error(span: Span, message: impl std::fmt::Display) -> syn::Error {
    syn::Error::new(span, message)
}

/// The value of a placeholder: `id`, `user.name`, `self.tenant`, `pair.0`.
fn value(
    text: &str,
    names: &Names<'_>,
    span: Span,
    fields_at: Option<Span>,
) -> syn::Result<(TokenStream, String)> {
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
        let known = names.arguments.iter().filter(|name| names.handle != Some(name));
        let known: Vec<String> = known.map(|name| name.unraw().to_string()).collect();
        let known: Vec<&str> = known.iter().map(String::as_str).collect();
        let there = match (nearest(first, &known), &known[..]) {
            (Some(meant), _) => format!("did you mean `{{{meant}}}`?"),
            (None, []) => "there is none to name".to_owned(),
            (None, known) => {
                let all: Vec<String> = known.iter().map(|name| format!("`{{{name}}}`")).collect();
                format!("write {}", all.join(" or "))
            }
        };
        return Err(error(span, format!("`{{{text}}}` is no argument of this function: {there}")));
    };
    let mut tokens = root;
    for field in path {
        let mut member: syn::Member = syn::parse_str(field).map_err(|_| {
            error(span, format!("`{{{text}}}` names no field behind a `.`: write a name or a number there"))
        })?;
        // A field that there is not is the compiler's to tell. It offers a better one in place of what it points at, which must
        // not be the whole text.
        match (&mut member, fields_at) {
            (syn::Member::Named(name), Some(span)) => name.set_span(span),
            (syn::Member::Unnamed(index), Some(span)) => index.span = span,
            _ => {}
        }
        tokens = quote_spanned!(span=> #tokens.#member);
    }
    Ok((tokens, first.to_owned()))
}

/// What a literal part may not hold; `from` is its place in the text.
fn check(part: &str, from: usize, purpose: Purpose, text: &LitStr) -> syn::Result<()> {
    let refused = |c: &char| {
        c.is_control()
            || match purpose {
                Purpose::Key => "*?[]\\%~@,".contains(*c),
                Purpose::Tag => "*?[]".contains(*c),
                Purpose::Pattern => false,
            }
    };
    let Some((at, c)) = part.char_indices().find(|(_, c)| refused(c)) else { return Ok(()) };
    let message = match purpose {
        Purpose::Key if "*?[]\\".contains(c) => format!(
            "`{c}` in a key: it would be a pattern; write a plain key, and patterns in `patterns(…)` of `#[invalidates]`"
        ),
        Purpose::Tag if "*?[]".contains(c) => {
            format!("`{c}` in a tag: tags are no patterns; write a plain word")
        }
        _ => format!("`{}` has a meaning of its own in keys: write another character", c.escape_default()),
    };
    Err(error(within(text, from + at..from + at + c.len_utf8()), message))
}

/// Two values of a key with nothing, or not enough, between them.
fn too_close(parts: &[Part]) -> Option<String> {
    match parts {
        [.., Part::Value(_)] => Some(
            "two values stand side by side, and could be taken for others: write a `:` between them"
                .to_owned(),
        ),
        [.., Part::Value(_), Part::Literal(between)] if !between.contains(':') => Some(format!(
            "`{between}` between two values could be part of one of them: write a `:` between them"
        )),
        _ => None,
    }
}

pub(super) fn parse(text: &LitStr, purpose: Purpose, names: &Names<'_>) -> syn::Result<Template> {
    let source = text.value();
    if source.is_empty() {
        return Err(error(text.span(), "an empty text: write one such as \"profile:{id}\""));
    }
    let (mut parts, mut arguments, mut literal) = (Vec::<Part>::new(), Vec::new(), String::new());
    let mut from = 0;
    while let Some(at) = source[from..].find(['{', '}']).map(|at| from + at) {
        check(&source[from..at], from, purpose, text)?;
        literal.push_str(&source[from..at]);
        let (brace, behind) = (&source[at..=at], &source[at + 1..]);
        if behind.starts_with(brace) {
            literal.push_str(brace);
            from = at + 2;
            continue;
        }
        if brace == "}" {
            let message = "a `}` without its `{`: write `}}` for the character itself";
            return Err(error(within(text, at..at + 1), message));
        }
        let Some(end) = behind.find('}').map(|end| at + 2 + end) else {
            let message = "a `{` without its `}`: write `{{` for the character itself";
            return Err(error(within(text, at..at + 1), message));
        };
        let place = within(text, at..end);
        if !literal.is_empty() {
            parts.push(Part::Literal(std::mem::take(&mut literal)));
        }
        if purpose == Purpose::Key
            && let Some(message) = too_close(&parts)
        {
            return Err(error(place, message));
        }
        let (tokens, argument) =
            value(source[at + 1..end - 1].trim(), names, place, exactly_within(text, at..end))?;
        parts.push(Part::Value(tokens));
        arguments.push(argument);
        from = end;
    }
    check(&source[from..], from, purpose, text)?;
    literal.push_str(&source[from..]);
    if !literal.is_empty() {
        parts.push(Part::Literal(literal));
    }
    Ok(Template { parts, arguments })
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The message for a key of a function with `id` and `r#type`, and the columns in its source it points at.
    fn mistake(source: &str) -> (String, usize, usize) {
        let text: LitStr = syn::parse_str(source).expect("a literal");
        let arguments = [Ident::new("id", Span::call_site()), Ident::new_raw("type", Span::call_site())];
        let names = Names { arguments: &arguments, handle: None, receiver: false };
        let error = parse(&text, Purpose::Key, &names).expect_err(source);
        (error.to_string(), error.span().start().column, error.span().end().column)
    }

    #[test]
    fn a_mistake_is_told_at_its_place_in_the_text() {
        for (source, word, from, to) in [
            (r#""user:{idd}""#, "no argument", 6, 11),
            (r#""user:{id}:*""#, "pattern", 11, 12),
            (r#""user:*:{id}""#, "pattern", 6, 7),
            (r#""user:{id""#, "without its `}`", 6, 7),
            (r#""user:id}""#, "without its `{`", 8, 9),
            (r#""{id}{type}""#, "side by side", 5, 11),
            (r#""{id}-{type}""#, "`-` between", 6, 12),
            (r##"r#"user:{idd}"#"##, "no argument", 8, 13),
            (r#""{id.}""#, "names no field", 1, 6),
            // Bytes of the value are not bytes of the source: the whole text.
            (r#""us\u{65}r:{idd}""#, "no argument", 0, 17),
        ] {
            let (message, start, end) = mistake(source);
            assert!(message.contains(word), "{source}: {message}");
            assert_eq!((start, end), (from, to), "{source}: {message}");
        }
    }

    #[test]
    fn braces_stand_for_themselves_when_doubled() {
        let text: LitStr = syn::parse_str(r#""{{a}}:{id}""#).expect("a literal");
        let arguments = [Ident::new("id", Span::call_site())];
        let template =
            parse(&text, Purpose::Key, &Names { arguments: &arguments, handle: None, receiver: false });
        let template = template.expect("a key");
        assert!(matches!(&template.parts[..], [Part::Literal(text), Part::Value(_)] if text == "{a}:"));
        assert_eq!(template.arguments, ["id"]);
    }
}
