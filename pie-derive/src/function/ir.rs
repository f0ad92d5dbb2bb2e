//! The attributes of a function, checked: plain data for the expansion.

use proc_macro2::{Span, TokenStream};
use quote::{ToTokens, quote};
use syn::ext::IdentExt;
use syn::parse::{ParseStream, Parser};
use syn::{
    Expr, ExprLit, FnArg, GenericArgument, Ident, ItemFn, Lit, LitStr, Meta, Pat, Path, PathArguments,
    ReturnType, Token, Type, Visibility,
};

use super::template::{Names, Purpose, Template, parse};
use crate::common::attributes::{Entry, entry, refuse_repeated, with_example};
use crate::common::errors::Errors;
use crate::common::policy::{self, PolicyIr};
use crate::common::suggest;

/// Keys of a function besides those of its policy.
pub(crate) const OWN_KEYS: [&str; 9] =
    ["key", "name", "skip", "depends", "via", "if", "version", "companions", "crate"];
/// Settings that need a run which outlives its caller.
const DETACHING_KEYS: [&str; 3] = ["stale", "refresh_ahead", "soft_timeout"];
pub(crate) const INVALIDATES_KEYS: [&str; 6] = ["keys", "tags", "patterns", "models", "via", "crate"];

/// How the function gives its future.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    /// `async fn`.
    Async,
    /// A boxed future, as `async_trait` writes it.
    Boxed,
}

/// Where the engine is.
#[derive(Debug, Clone)]
pub(super) enum Via {
    Expr(TokenStream),
    Global,
}

/// What both attributes need.
#[derive(Debug)]
pub(super) struct Common {
    pub(super) library: TokenStream,
    pub(super) kind: Kind,
    /// What awaiting the function gives.
    pub(super) output: Type,
    pub(super) via: Via,
}

#[derive(Debug)]
pub(super) struct CachedIr {
    pub(super) common: Common,
    pub(super) name: String,
    pub(super) policy: PolicyIr,
    pub(super) key: Option<Template>,
    /// The arguments in a key without a template.
    pub(super) key_arguments: Vec<Ident>,
    pub(super) tags: Vec<Template>,
    pub(super) depends: Vec<Path>,
    pub(super) only_if: Option<Expr>,
    pub(super) version: u64,
    pub(super) companions: bool,
    pub(super) receiver: bool,
    /// The arguments that a companion which only makes a key needs.
    pub(super) needed: Vec<Ident>,
    /// The argument that is the handle.
    pub(super) handle: Option<Ident>,
    /// Whether runs outlive their callers.
    pub(super) detaches: bool,
    /// Where a timeout is asked for.
    pub(super) timeout: Option<Span>,
}

#[derive(Debug)]
pub(super) struct InvalidatesIr {
    pub(super) common: Common,
    pub(super) keys: Vec<Template>,
    pub(super) tags: Vec<Template>,
    pub(super) patterns: Vec<Template>,
    pub(super) models: Vec<Path>,
}

/// `key = value, key(list), …`; keywords such as `if` and `crate` are keys as well.
fn entries(arguments: TokenStream, attribute: &str, errors: &mut Errors) -> Vec<Entry> {
    let parser = |input: ParseStream<'_>| {
        let mut all = Vec::new();
        while !input.is_empty() {
            let key = Ident::parse_any(input)?;
            let path: Path = Path::from(key);
            let meta = if input.peek(Token![=]) {
                let eq_token = input.parse()?;
                Meta::NameValue(syn::MetaNameValue { path, eq_token, value: input.parse()? })
            } else if input.peek(syn::token::Paren) {
                let content;
                let paren = syn::parenthesized!(content in input);
                let delimiter = syn::MacroDelimiter::Paren(paren);
                Meta::List(syn::MetaList { path, delimiter, tokens: content.parse()? })
            } else {
                Meta::Path(path)
            };
            all.push(entry(meta));
            if input.is_empty() {
                break;
            }
            input.parse::<Token![,]>()?;
        }
        Ok(all)
    };
    let inside = if attribute == "cached" { "ttl = \"5m\"" } else { "tags(\"users\")" };
    errors
        .keep(parser.parse2(arguments).map_err(|error| with_example(&error, attribute, inside)))
        .unwrap_or_default()
}

/// The named arguments of a function.
fn arguments(item: &ItemFn, errors: &mut Errors) -> Vec<(Ident, Type)> {
    let mut all = Vec::new();
    for argument in &item.sig.inputs {
        if let FnArg::Typed(typed) = argument {
            match &*typed.pat {
                Pat::Ident(name) => all.push((name.ident.clone(), (*typed.ty).clone())),
                other => {
                    errors.push(other, "an argument without a name cannot be part of a key: give it one")
                }
            }
        }
    }
    all
}

fn last_of(ty: &Type) -> Option<&syn::PathSegment> {
    match ty {
        Type::Path(path) => path.path.segments.last(),
        Type::Group(group) => last_of(&group.elem),
        Type::Paren(paren) => last_of(&paren.elem),
        _ => None,
    }
}

/// The first type in angle brackets.
fn argument_of(segment: &syn::PathSegment) -> Option<&Type> {
    let PathArguments::AngleBracketed(list) = &segment.arguments else { return None };
    list.args.iter().find_map(|argument| match argument {
        GenericArgument::Type(ty) => Some(ty),
        _ => None,
    })
}

/// `R` of `Pin<Box<dyn Future<Output = R> + …>>`.
fn boxed_output(ty: &Type) -> Option<Type> {
    let pin = last_of(ty).filter(|segment| segment.ident == "Pin")?;
    let boxed = last_of(argument_of(pin)?).filter(|segment| segment.ident == "Box")?;
    let Type::TraitObject(object) = argument_of(boxed)? else { return None };
    object.bounds.iter().find_map(|bound| {
        let syn::TypeParamBound::Trait(bound) = bound else { return None };
        let future = bound.path.segments.last().filter(|segment| segment.ident == "Future")?;
        let PathArguments::AngleBracketed(list) = &future.arguments else { return None };
        list.args.iter().find_map(|argument| match argument {
            GenericArgument::AssocType(assoc) if assoc.ident == "Output" => Some(assoc.ty.clone()),
            _ => None,
        })
    })
}

fn kind(item: &ItemFn, attribute: &str, errors: &mut Errors) -> Option<(Kind, Type)> {
    let output = match &item.sig.output {
        ReturnType::Default => syn::parse_quote!(()),
        ReturnType::Type(_, ty) => (**ty).clone(),
    };
    if item.sig.asyncness.is_some() {
        return Some((Kind::Async, output));
    }
    if let Some(output) = boxed_output(&output) {
        return Some((Kind::Boxed, output));
    }
    errors
        .push(&item.sig.fn_token, format!("`#[{attribute}]` goes on an `async` function: write `async fn`"));
    None
}

fn via(
    entries: &[Entry],
    arguments: &[(Ident, Type)],
    errors: &mut Errors,
    attribute: &str,
    item: &ItemFn,
) -> (Option<Via>, Option<Ident>) {
    if let Some(entry) = entries.iter().find(|entry| entry.key == "via") {
        let Some(value) = errors.keep(entry.value("via = self.engine")) else { return (None, None) };
        if let Expr::Path(path) = value {
            if path.path.is_ident("global") {
                return (Some(Via::Global), None);
            }
            let named = arguments.iter().find(|(name, _)| path.path.is_ident(name));
            return (Some(Via::Expr(value.to_token_stream())), named.map(|(name, _)| name.clone()));
        }
        return (Some(Via::Expr(value.to_token_stream())), None);
    }
    let handle = arguments.iter().find(|(_, ty)| {
        let Type::Reference(reference) = ty else { return false };
        last_of(&reference.elem).is_some_and(|last| last.ident == "Engine" || last.ident == "Tx")
    });
    match handle {
        Some((name, _)) => (Some(Via::Expr(name.to_token_stream())), Some(name.clone())),
        None => {
            errors.add(syn::Error::new(
                item.sig.ident.span(),
                format!(
                    "`#[{attribute}]` does not know the engine of this function: write `via = self.engine` (any expression), `via = global` \
                     with `pie::install(engine)`, or take an argument of type `&Engine` or `&Tx`"
                ),
            ));
            (None, None)
        }
    }
}

fn library(entries: &[Entry], errors: &mut Errors) -> TokenStream {
    crate::common::crate_path::library(entries, errors)
}

fn templates(entry: &Entry, purpose: Purpose, names: &Names<'_>, errors: &mut Errors) -> Vec<Template> {
    let example = match purpose {
        Purpose::Key => "keys(\"profile:{id}\")",
        Purpose::Tag => "tags(\"users\")",
        Purpose::Pattern => "patterns(\"profile:*\")",
    };
    let texts = errors.keep(entry.list::<LitStr>(example)).unwrap_or_default();
    let mut seen: Vec<String> = Vec::new();
    let mut all = Vec::new();
    for text in texts {
        if seen.contains(&text.value()) {
            errors.push(&text, format!("\"{}\" is given twice: remove one of them", text.value()));
            continue;
        }
        seen.push(text.value());
        all.extend(errors.keep(parse(&text, purpose, names)));
    }
    all
}

fn number(entry: &Entry, errors: &mut Errors) -> Option<u64> {
    match errors.keep(entry.value("version = 2"))? {
        Expr::Lit(ExprLit { lit: Lit::Int(number), .. }) => errors.keep(number.base10_parse::<u64>()),
        other => {
            errors.push(other, "`version` takes a whole number: write `version = 2`");
            None
        }
    }
}

fn flag(entry: &Entry, errors: &mut Errors) -> Option<bool> {
    match errors.keep(entry.value("companions = false"))? {
        Expr::Lit(ExprLit { lit: Lit::Bool(flag), .. }) => Some(flag.value),
        other => {
            errors.push(other, "`companions` is `true` or `false`: write `companions = false`");
            None
        }
    }
}

fn name_of(entry: &Entry, errors: &mut Errors) -> Option<String> {
    let text = errors.keep(entry.text("name = \"profile\""))?;
    errors.keep(crate::common::attributes::name(&text, "function's"))
}

pub(super) fn cached(tokens: TokenStream, item: &ItemFn, errors: &mut Errors) -> Option<CachedIr> {
    let entries = entries(tokens, "cached", errors);
    refuse_repeated(&entries, &[], errors);
    let arguments = arguments(item, errors);
    let receiver = item.sig.receiver().is_some();
    let kind = kind(item, "cached", errors);
    let (via, handle) = via(&entries, &arguments, errors, "cached", item);
    let library = library(&entries, errors);
    let idents: Vec<Ident> = arguments.iter().map(|(name, _)| name.clone()).collect();
    let names = Names { arguments: &idents, handle: handle.as_ref(), receiver };

    let (mut key, mut key_span, mut name, mut tags) = (None, None, None, Vec::new());
    let (mut skip, mut depends, mut only_if, mut version) = (Vec::<Ident>::new(), Vec::new(), None, 0);
    let mut companions = !matches!(item.vis, Visibility::Inherited);
    let mut policy_entries = Vec::new();
    let mut detaching: Option<(String, Span)> = None;
    for entry in entries {
        match entry.key.as_str() {
            "via" | "crate" => {}
            "key" => {
                if let Some(text) = errors.keep(entry.text("key = \"profile:{id}\"")) {
                    key = errors.keep(parse(&text, Purpose::Key, &names));
                    key_span = Some(text.span());
                }
            }
            "name" => name = name_of(&entry, errors),
            "tags" => tags = templates(&entry, Purpose::Tag, &names, errors),
            "skip" => {
                for skipped in errors.keep(entry.list::<Ident>("skip(trace_id)")).unwrap_or_default() {
                    if idents.contains(&skipped) {
                        skip.push(skipped);
                    } else {
                        let known: Vec<String> = idents.iter().map(Ident::to_string).collect();
                        let known: Vec<&str> = known.iter().map(String::as_str).collect();
                        errors.push(&skipped, suggest::unknown("argument", &skipped.to_string(), &known));
                    }
                }
            }
            "depends" => depends = errors.keep(entry.list::<Path>("depends(User)")).unwrap_or_default(),
            "if" => only_if = errors.keep(entry.value("if = id > 0")).cloned(),
            "version" => version = number(&entry, errors).unwrap_or(0),
            "companions" => companions = flag(&entry, errors).unwrap_or(companions),
            other if policy::KEYS.contains(&other) && other != "enabled" => {
                if DETACHING_KEYS.contains(&other) {
                    detaching = Some((entry.key.clone(), entry.span));
                }
                policy_entries.push(entry);
            }
            other => {
                let known: Vec<&str> =
                    policy::KEYS.into_iter().filter(|key| *key != "enabled").chain(OWN_KEYS).collect();
                let message = if other == "enabled" {
                    "`enabled` is for models: on a function write `if = …`, or leave `#[cached]` away"
                        .to_owned()
                } else {
                    suggest::unknown_key(other, "`#[cached]` on a function", &known)
                };
                errors.add(syn::Error::new(entry.span, message));
            }
        }
    }
    let policy = policy::parse(&policy_entries, errors);

    let in_key = |ident: &&Ident| !skip.contains(ident) && handle.as_ref() != Some(*ident);
    let key_arguments: Vec<Ident> = idents.iter().filter(in_key).cloned().collect();
    let bare = |name: &str| name.trim_start_matches("r#").to_owned();
    let holds = |template: &Template, ident: &Ident| {
        template.arguments.iter().any(|name| bare(name) == bare(&ident.to_string()))
    };
    if let (Some(template), Some(span)) = (&key, key_span) {
        for missing in key_arguments.iter().filter(|ident| !holds(template, ident)) {
            errors.add(syn::Error::new(
                span,
                format!(
                    "the key does not hold the argument `{missing}`: calls that differ in it would share one value; \
                     write `{{{missing}}}` into the key, or `skip({missing})`"
                ),
            ));
        }
    }
    if item.sig.asyncness.is_some() && returns_nothing(&item.sig.output) {
        errors.push(&item.sig.ident, "the function returns nothing, and there is nothing to cache: return a value, or leave `#[cached]` away");
    }
    if let ReturnType::Type(_, ty) = &item.sig.output
        && let Type::ImplTrait(hidden) = &**ty
        && item.sig.asyncness.is_some()
    {
        errors.push(hidden, "`impl Trait` cannot be stored: name the type that the function returns");
    }
    if let ReturnType::Type(_, ty) = &item.sig.output
        && let Type::Reference(reference) = leaf(ty)
    {
        errors.add(syn::Error::new(
            reference.and_token.spans[0],
            "a reference cannot be stored: return what it points to, such as `String` for `&str` and `Vec<T>` for `&[T]`",
        ));
    }
    let mut needed: Vec<Ident> = key_arguments.clone();
    if let Some(template) = &key {
        needed.retain(|ident| holds(template, ident));
    }
    let (kind, output) = kind?;
    companions &= kind == Kind::Async;
    if let Some((key, span)) = &detaching
        && !companions
    {
        errors.add(syn::Error::new(
            *span,
            format!(
                "`{key}` runs the function in a task of its own, through its companion: write `companions = true`, \
                 or leave `{key}` away in an implementation of a trait"
            ),
        ));
    }
    Some(CachedIr {
        common: Common { library, kind, output, via: via? },
        name: name.unwrap_or_else(|| item.sig.ident.unraw().to_string()),
        policy,
        key,
        key_arguments,
        tags,
        depends,
        only_if,
        version,
        companions,
        receiver,
        needed,
        handle,
        detaches: detaching.is_some(),
        timeout: policy_entries.iter().find(|entry| entry.key == "timeout").map(|entry| entry.span),
    })
}

pub(super) fn invalidates(tokens: TokenStream, item: &ItemFn, errors: &mut Errors) -> Option<InvalidatesIr> {
    let entries = entries(tokens, "invalidates", errors);
    refuse_repeated(&entries, &[], errors);
    let arguments = arguments(item, errors);
    let kind = kind(item, "invalidates", errors);
    let (via, handle) = via(&entries, &arguments, errors, "invalidates", item);
    let library = library(&entries, errors);
    let idents: Vec<Ident> = arguments.iter().map(|(name, _)| name.clone()).collect();
    let names =
        Names { arguments: &idents, handle: handle.as_ref(), receiver: item.sig.receiver().is_some() };
    let (mut keys, mut tags, mut patterns, mut models) = (Vec::new(), Vec::new(), Vec::new(), Vec::new());
    let mut named = false;
    for entry in entries {
        named |= !matches!(entry.key.as_str(), "via" | "crate");
        match entry.key.as_str() {
            "via" | "crate" => {}
            "keys" => keys = templates(&entry, Purpose::Key, &names, errors),
            "tags" => tags = templates(&entry, Purpose::Tag, &names, errors),
            "patterns" => patterns = templates(&entry, Purpose::Pattern, &names, errors),
            "models" => models = errors.keep(entry.list::<Path>("models(User)")).unwrap_or_default(),
            other => {
                let message = suggest::unknown_key(other, "`#[invalidates]`", &INVALIDATES_KEYS);
                errors.add(syn::Error::new(entry.span, message));
            }
        }
    }
    if !named {
        errors.add(syn::Error::new(
            item.sig.ident.span(),
            "`#[invalidates]` names nothing: write what the function makes wrong, such as `keys(\"profile:{id}\")` or `tags(\"users\")`",
        ));
    }
    let (kind, output) = kind?;
    Some(InvalidatesIr { common: Common { library, kind, output, via: via? }, keys, tags, patterns, models })
}

/// The text of a signature, for the fingerprint: what is cached depends on it.
pub(super) fn signature(item: &ItemFn) -> String {
    let inputs = &item.sig.inputs;
    let output = &item.sig.output;
    let name = &item.sig.ident;
    quote!(#name (#inputs) #output).to_string()
}

fn returns_nothing(output: &ReturnType) -> bool {
    match output {
        ReturnType::Default => true,
        ReturnType::Type(_, ty) => matches!(&**ty, Type::Tuple(tuple) if tuple.elems.is_empty()),
    }
}

/// The error of a return type, where it is written out; else the type.
pub(super) fn error_of(ty: &Type) -> &Type {
    let Some(result) = last_of(ty).filter(|segment| segment.ident == "Result") else { return ty };
    let PathArguments::AngleBracketed(list) = &result.arguments else { return ty };
    let second = list.args.iter().filter_map(|argument| match argument {
        GenericArgument::Type(ty) => Some(ty),
        _ => None,
    });
    second.skip(1).last().unwrap_or(ty)
}

/// What a return type is about: `User` of `Result<Option<Vec<User>>, Error>`.
pub(super) fn leaf(ty: &Type) -> &Type {
    const AROUND: [&str; 5] = ["Result", "Option", "Vec", "Arc", "Cached"];
    match last_of(ty)
        .filter(|segment| AROUND.iter().any(|around| segment.ident == around))
        .and_then(argument_of)
    {
        Some(inner) => leaf(inner),
        None => ty,
    }
}
