//! Tokens to attributes, each with its span.

use proc_macro2::{Span, TokenStream};
use syn::spanned::Spanned;
use syn::{Attribute, Data, DeriveInput, Fields, Ident, LitStr, Path, Type, Visibility};

use crate::common::attributes::{Entry, entries, entry, name, refuse_repeated, with_example};
use crate::common::crate_path::library;
use crate::common::errors::Errors;
use crate::common::policy::{self, PolicyIr};
use crate::common::suggest;

pub(crate) const STRUCT_KEYS: [&str; 7] =
    ["table", "unique", "index", "cached", "touches", "invalidate", "crate"];
pub(crate) const FIELD_KEYS: [&str; 7] = ["id", "auto", "unique", "index", "column", "json", "skip"];

/// A struct with its attributes, not yet checked against each other.
#[derive(Debug)]
pub(crate) struct Parsed {
    pub(crate) ident: Ident,
    pub(crate) vis: Visibility,
    pub(crate) library: TokenStream,
    pub(crate) table: Option<String>,
    pub(crate) uniques: Vec<Vec<Ident>>,
    pub(crate) indexes: Vec<Vec<Ident>>,
    pub(crate) policy: Option<PolicyIr>,
    pub(crate) touches: Vec<Path>,
    pub(crate) manual: bool,
    pub(crate) fields: Vec<ParsedField>,
}

/// A field with its attributes.
#[derive(Debug)]
pub(crate) struct ParsedField {
    pub(crate) ident: Ident,
    pub(crate) vis: Visibility,
    pub(crate) ty: Type,
    pub(crate) docs: Vec<Attribute>,
    pub(crate) column: Option<String>,
    pub(crate) column_at: Option<Span>,
    pub(crate) id: Option<Span>,
    pub(crate) auto: Option<Span>,
    pub(crate) unique: Option<Span>,
    pub(crate) index: Option<Span>,
    pub(crate) json: Option<Span>,
    pub(crate) skip: Option<Span>,
}

/// The attributes of a struct with named fields; `None` for anything else.
pub(crate) fn parse(input: &DeriveInput, errors: &mut Errors) -> Option<Parsed> {
    let data = match &input.data {
        Data::Struct(data) => data,
        Data::Enum(data) => {
            errors.push(
                &data.enum_token,
                "a model is a struct with named fields: an enum has no columns (for a column type write `#[derive(pie::Value)]`)",
            );
            return None;
        }
        Data::Union(data) => {
            errors.push(
                &data.union_token,
                "a model is a struct with named fields: write `struct` in place of `union`",
            );
            return None;
        }
    };
    let named = match &data.fields {
        Fields::Named(named) => named,
        Fields::Unnamed(fields) => {
            errors.push(
                fields,
                "a model has named fields, which are its columns: write `struct Name { id: i64, … }`",
            );
            return None;
        }
        Fields::Unit => {
            errors.push(
                &input.ident,
                "a model has named fields, which are its columns: write `struct Name { id: i64, … }`",
            );
            return None;
        }
    };
    if !input.generics.params.is_empty() {
        errors
            .push(&input.generics, "a model has no generic parameters: its table and its columns are fixed; write a model for each type");
        return None;
    }

    let on_struct = entries(&input.attrs, "pie", errors);
    refuse_repeated(&on_struct, &["unique", "index"], errors);
    let mut parsed = Parsed {
        ident: input.ident.clone(),
        vis: input.vis.clone(),
        library: library(&on_struct, errors),
        table: None,
        uniques: Vec::new(),
        indexes: Vec::new(),
        policy: None,
        touches: Vec::new(),
        manual: false,
        fields: Vec::new(),
    };
    for entry in &on_struct {
        match entry.key.as_str() {
            "table" => {
                let text = errors.keep(entry.text("table = \"users\""));
                parsed.table = text.and_then(|text| errors.keep(name(&text, "table")));
            }
            "unique" => parsed.uniques.extend(errors.keep(entry.list("unique(org_id, slug)"))),
            "index" => parsed.indexes.extend(errors.keep(entry.list("index(org_id, status)"))),
            "cached" => {
                let list = match &entry.meta {
                    syn::Meta::List(list) if list.tokens.is_empty() => Vec::new(),
                    _ => errors.keep(entry.list::<syn::Meta>("cached(ttl = \"5m\")")).unwrap_or_default(),
                };
                set_policy(&mut parsed, list, entry.span, errors);
            }
            "crate" => {}
            "touches" => {
                parsed.touches = errors.keep(entry.list::<Path>("touches(Order)")).unwrap_or_default();
            }
            "invalidate" => {
                if let Some(text) = errors.keep(entry.text("invalidate = \"manual\"")) {
                    parsed.manual = text.value() == "manual";
                    if !parsed.manual {
                        errors.push(
                            &text,
                            "`invalidate` is \"manual\" or not there: write `invalidate = \"manual\"`, and end what writes change by hand",
                        );
                    }
                }
            }
            other => errors.add(syn::Error::new(entry.span, unknown_on_struct(other))),
        }
    }
    // Below the derive, `#[cached]` is still there to be read.
    for attribute in input.attrs.iter().filter(|attribute| is_cached(attribute)) {
        let list = match &attribute.meta {
            syn::Meta::Path(_) => Vec::new(),
            _ => errors
                .keep(
                    attribute
                        .parse_args_with(
                            syn::punctuated::Punctuated::<syn::Meta, syn::Token![,]>::parse_terminated,
                        )
                        .map_err(|error| with_example(&error, "cached", "ttl = \"5m\"")),
                )
                .map(|list| list.into_iter().collect())
                .unwrap_or_default(),
        };
        set_policy(&mut parsed, list, attribute.path().span(), errors);
    }
    parsed.fields = named.named.iter().filter_map(|field| parse_field(field, errors)).collect();
    Some(parsed)
}

fn is_cached(attribute: &Attribute) -> bool {
    attribute.path().segments.last().is_some_and(|last| last.ident == "cached")
}

fn set_policy(parsed: &mut Parsed, list: Vec<syn::Meta>, span: Span, errors: &mut Errors) {
    if parsed.policy.is_some() {
        errors.add(syn::Error::new(span, "`cached` is given twice: remove one of them"));
        return;
    }
    let entries: Vec<Entry> = list.into_iter().map(entry).collect();
    parsed.policy = Some(policy::parse(&entries, errors));
}

fn unknown_on_struct(key: &str) -> String {
    if policy::KEYS.contains(&key) {
        return format!("`{key}` belongs to the cache: write `#[cached({key} …)]` on the struct");
    }
    if FIELD_KEYS.contains(&key) {
        return format!("`{key}` goes on a field: write `#[pie({key})]` above the field it is about");
    }
    suggest::unknown_key(key, "`#[pie]` on a struct", &STRUCT_KEYS)
}

fn parse_field(field: &syn::Field, errors: &mut Errors) -> Option<ParsedField> {
    let ident = field.ident.clone()?;
    let list = entries(&field.attrs, "pie", errors);
    refuse_repeated(&list, &[], errors);
    let mut parsed = ParsedField {
        ident,
        vis: field.vis.clone(),
        ty: field.ty.clone(),
        docs: field.attrs.iter().filter(|attribute| attribute.path().is_ident("doc")).cloned().collect(),
        column: None,
        column_at: None,
        id: None,
        auto: None,
        unique: None,
        index: None,
        json: None,
        skip: None,
    };
    for entry in &list {
        let flag = match entry.key.as_str() {
            "id" => &mut parsed.id,
            "auto" => &mut parsed.auto,
            "unique" => &mut parsed.unique,
            "index" => &mut parsed.index,
            "json" => &mut parsed.json,
            "skip" => &mut parsed.skip,
            "column" => {
                let text: Option<LitStr> = errors.keep(entry.text("column = \"name\""));
                parsed.column = text.and_then(|text| errors.keep(name(&text, "column")));
                parsed.column_at = Some(entry.span);
                continue;
            }
            other => {
                let message = if STRUCT_KEYS.contains(&other) {
                    format!("`{other}` goes on the struct: write `#[pie({other} …)]` above it")
                } else {
                    suggest::unknown_key(other, "`#[pie]` on a field", &FIELD_KEYS)
                };
                errors.add(syn::Error::new(entry.span, message));
                continue;
            }
        };
        *flag = Some(entry.span);
        entry.flag(errors);
    }
    Some(parsed)
}
